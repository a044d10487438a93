// Reads SVHN, the cropped digits, from its MATLAB files.

import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { optionsObject, string, typedArrayName } from "../../core/checks";
import { corruptFile } from "../../core/file-errors";
import { findFile } from "../../formats/find-file";
import { readMat5, type MatArray, type MatHeader } from "../../formats/mat5";
import { catalogue, partOf } from "../catalogue";
import { Dataset } from "../dataset";
import { readSplits, type SplitName, type SplitOptions } from "../splits";

/** The parts of SVHN. `"extra"` has 531,131 easier digits, which take 1.6 GB of memory. */
export type SvhnSplit = SplitName | "extra";

const side = 32;
const plane = side * side;
/** Planes that are transposed before the event loop turns: about a millisecond. */
const planesPerTurn = 512;

/**
 * Reads the cropped digits of SVHN (Y. Netzer et al. 2011): 32×32 colour images of house numbers, 73,257 for training, 26,032 for testing, and
 * 531,131 in `"extra"`, which is read only where it is asked for.
 *
 * `train_32x32.mat`, `test_32x32.mat` and `extra_32x32.mat` (MATLAB 5) are read from the directory itself, where torchvision puts them, or from
 * `svhn` or `SVHN` in it. Label 10 of the files means the digit 0 and becomes 0, as in torchvision.
 *
 * @param directory - the folder of the files
 * @param options - the parts to read
 * @returns a Dataset for each part, under its name
 * @throws ERR_OPTION where an option is unknown or wrong; ERR_IO where a file is missing or cannot be read; ERR_CORRUPT_FILE where one is damaged,
 *   naming the file, what was expected and what was found; ERR_OUT_OF_MEMORY where the memory for the images is unavailable
 * @example
 * import { datasets } from "libtorch-ood";
 *
 * const { test } = await datasets.svhn("data", { splits: ["test"] });
 */
export async function svhn<S extends SvhnSplit = SplitName>(directory: string, options?: SplitOptions<S>): Promise<Record<S, Dataset>> {
  const { splits } = optionsObject(options, "options", ["splits"]);
  const directories = ["", "svhn", "SVHN"].map((name) => join(string(directory, "directory"), name));
  const read = async (split: SvhnSplit) => {
    const path = await findFile(directories, [`${split}_32x32.mat`], `the ${split} split of SVHN (cropped digits)`);
    return readDigits(path, split);
  };
  return readSplits(splits, read, catalogue.svhn.parts);
}

async function readDigits(path: string, split: SvhnSplit): Promise<Dataset> {
  const counts = new Map<string, number>();
  const arrays = await readMat5(path, ["X", "y"], (header) => {
    counts.set(header.name, checkHeader(path, header));
    const [images, labels] = [counts.get("X"), counts.get("y")];
    if (images === undefined || labels === undefined || images === labels) return;
    throw corruptFile(path, `${images} labels in y, one per image of X`, `${labels}`);
  });
  const { values } = arrays.get("X") as MatArray;
  if (typedArrayName(values) !== "Uint8Array") throw corruptFile(path, "X to be stored as bytes", `a ${typedArrayName(values)}`);
  const images = values as Uint8Array;
  const digits: ArrayLike<number | bigint> = (arrays.get("y") as MatArray).values;
  const labels = Int32Array.from({ length: digits.length }, (_, i) => {
    const digit = Number(digits[i]);
    if (!Number.isInteger(digit) || digit < 1 || digit > 10) throw corruptFile(path, "labels from 1 to 10 in y", `${digit} for image ${i}`);
    return digit % 10;
  });
  await transposePlanes(images);
  return Dataset.fromArrays({
    images,
    labels,
    classNames: catalogue.svhn.classNames,
    ...partOf("svhn", split),
  });
}

/** @returns the number of images or labels */
function checkHeader(path: string, { name, className, shape }: MatHeader): number {
  const found = `${className} [${shape.join(", ")}]`;
  if (name === "y") {
    const isVector = shape.length === 2 && shape.includes(1);
    if (!isVector) throw corruptFile(path, "y to be a column of labels", found);
    return (shape[0] as number) * (shape[1] as number);
  }
  // MATLAB drops a last dimension of 1.
  const [height, width, channels, count = 1] = shape;
  const fits = height === side && width === side && channels === 3 && count > 0 && shape.length <= 4;
  if (!fits || className !== "uint8") throw corruptFile(path, "X to be uint8 [32, 32, 3, N], N images", found);
  return count;
}

/**
 * Transposes each plane in place, from MATLAB's columns first to rows first. X is H×W×C×N with H fastest, so that each plane is one piece already.
 */
async function transposePlanes(images: Uint8Array): Promise<void> {
  for (let start = 0, planes = 1; start < images.length; start += plane, planes++) {
    for (let row = 0; row < side; row++) {
      for (let column = row + 1; column < side; column++) {
        const [here, there] = [start + row * side + column, start + column * side + row];
        const value = images[here] as number;
        images[here] = images[there] as number;
        images[there] = value;
      }
    }
    if (planes % planesPerTurn === 0) await turn();
  }
}
