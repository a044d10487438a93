// Reads CIFAR-100 with its 100 fine labels from its binary or its Python version.

import { basename, dirname, join } from "node:path";
import { optionsObject, string } from "../../core/checks";
import { corruptFile } from "../../core/file-errors";
import { findFile } from "../../formats/find-file";
import { readPythonBatches, readPythonClassNames } from "./cifar-python";
import { readCifarRecords, readClassNames } from "./cifar-records";
import { catalogue, partOf } from "../catalogue";
import { Dataset } from "../dataset";
import { readSplits, type SplitName, type SplitOptions } from "../splits";

/**
 * Reads CIFAR-100 (A. Krizhevsky 2009): 32×32 colour images of 100 classes, 50,000 for training and 10,000 for testing.
 *
 * The binary version (`train.bin`, `test.bin`, `fine_label_names.txt`) is read from the directory itself or from `cifar-100-binary` in it. Where
 * there is none, the Python version that torchvision unpacks (`train`, `test`, `meta`) is read from the directory or from `cifar-100-python` in it.
 * Its pickles are read as data and never executed. The labels are the 100 fine ones. The 20 coarse labels serve as a check: every fine class must lie
 * in one of them.
 *
 * @param directory - the folder of the files
 * @param options - the parts to read
 * @returns a Dataset for each part, under its name
 * @throws ERR_OPTION where an option is unknown or wrong; ERR_IO where a file is missing or cannot be read; ERR_CORRUPT_FILE where one is damaged,
 *   naming the file, what was expected and what was found; ERR_OUT_OF_MEMORY where the memory for the images is unavailable
 * @example
 * import { datasets } from "libtorch-ood";
 *
 * const { test } = await datasets.cifar100("data", { splits: ["test"] });
 */
export async function cifar100<S extends SplitName = SplitName>(directory: string, options?: SplitOptions<S>): Promise<Record<S, Dataset>> {
  const { splits } = optionsObject(options, "options", ["splits"]);
  const directories = ["", "cifar-100-binary", "cifar-100-python"].map((name) => join(string(directory, "directory"), name));
  const namesPath = await findFile(
    directories,
    ["fine_label_names.txt", "meta"],
    "the class names of CIFAR-100 (binary or Python version)",
  );
  const python = basename(namesPath) === "meta";
  const classes = catalogue.cifar100.numClasses;
  const classNames = await (python ? readPythonClassNames(namesPath, "fine_label_names", classes) : readClassNames(namesPath, classes));
  return readSplits(splits, async (split) => {
    const path = join(dirname(namesPath), python ? split : `${split}.bin`);
    const { images, labels } = await (python ? readPythonBatches : readCifarRecords)([path], split === "train" ? 50_000 : 10_000, [
      { key: "coarse_labels", name: "coarse label", classes: 20 },
      { key: "fine_labels", name: "fine label", classes },
    ]);
    const [coarse, fine] = labels as [Int32Array, Int32Array];
    checkHierarchy(path, coarse, fine);
    return Dataset.fromArrays({
      images,
      labels: fine,
      classNames,
      ...partOf("cifar100", split),
    });
  });
}

function checkHierarchy(path: string, coarse: Int32Array, fine: Int32Array): void {
  const coarseOf = new Map<number, number>();
  fine.forEach((label, record) => {
    const expected = coarseOf.get(label) ?? coarse[record];
    if (expected !== coarse[record]) {
      throw corruptFile(path, `fine label ${label} with coarse label ${expected} as before`, `${coarse[record]} in record ${record}`);
    }
    coarseOf.set(label, expected as number);
  });
}
