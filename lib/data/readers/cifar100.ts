// CIFAR-100 from its binary or its Python version, with its 100 fine labels.

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
 * CIFAR-100: 32×32 colour images of 100 classes, 50,000 to train and 10,000 to test.
 *
 * Reads the binary version (`train.bin`, `test.bin`, `fine_label_names.txt`) from the directory itself or from `cifar-100-binary` in it;
 * else the Python version that torchvision unpacks (`train`, `test`, `meta`) from `cifar-100-python`, whose pickles are read as data and never executed.
 * The 20 coarse labels are read as a check only: every fine class must lie in one of them. Source: A. Krizhevsky 2009.
 *
 * @throws ERR_IO where a file is missing or cannot be read; ERR_CORRUPT_FILE, naming the file, what was expected and what was found
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
