// Reads CIFAR-10 from its binary or its Python version.

import { basename, dirname, join } from "node:path";
import { optionsObject, string } from "../../core/checks";
import { findFile } from "../../formats/find-file";
import { readPythonBatches, readPythonClassNames } from "./cifar-python";
import { readCifarRecords, readClassNames } from "./cifar-records";
import { catalogue, partOf } from "../catalogue";
import { Dataset } from "../dataset";
import { readSplits, type SplitName, type SplitOptions } from "../splits";

/**
 * Reads CIFAR-10 (A. Krizhevsky 2009): 32×32 colour images of ten classes, 50,000 for training and 10,000 for testing.
 *
 * The binary version (`data_batch_1.bin` … `data_batch_5.bin`, `test_batch.bin`, `batches.meta.txt`) is read from the directory itself or from
 * `cifar-10-batches-bin` in it. Where there is none, the Python version that torchvision unpacks (`data_batch_1` …, `batches.meta`) is read from the
 * directory or from `cifar-10-batches-py` in it. Its pickles are read as data and never executed.
 *
 * @param directory - the folder of the files
 * @param options - the parts to read
 * @returns a Dataset for each part, under its name
 * @throws ERR_OPTION where an option is unknown or wrong; ERR_IO where a file is missing or cannot be read; ERR_CORRUPT_FILE where one is damaged,
 *   naming the file, what was expected and what was found; ERR_OUT_OF_MEMORY where the memory for the images is unavailable
 * @example
 * import { datasets } from "libtorch-ood";
 *
 * const { train, test } = await datasets.cifar10("data");
 */
export async function cifar10<S extends SplitName = SplitName>(directory: string, options?: SplitOptions<S>): Promise<Record<S, Dataset>> {
  const { splits } = optionsObject(options, "options", ["splits"]);
  const directories = ["", "cifar-10-batches-bin", "cifar-10-batches-py"].map((name) => join(string(directory, "directory"), name));
  const namesPath = await findFile(
    directories,
    ["batches.meta.txt", "batches.meta"],
    "the class names of CIFAR-10 (binary or Python version)",
  );
  const python = basename(namesPath) === "batches.meta";
  const classes = catalogue.cifar10.numClasses;
  const classNames = await (python ? readPythonClassNames(namesPath, "label_names", classes) : readClassNames(namesPath, classes));
  const label = { key: "labels", name: "label", classes };
  return readSplits(splits, async (split) => {
    const files = split === "train" ? [1, 2, 3, 4, 5].map((batch) => `data_batch_${batch}`) : ["test_batch"];
    const paths = files.map((file) => join(dirname(namesPath), python ? file : `${file}.bin`));
    const { images, labels } = await (python ? readPythonBatches : readCifarRecords)(paths, 10_000, [label]);
    return Dataset.fromArrays({
      images,
      labels: labels[0] as Int32Array,
      classNames,
      ...partOf("cifar10", split),
    });
  });
}
