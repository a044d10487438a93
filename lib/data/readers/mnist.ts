// Reads MNIST, Fashion-MNIST and KMNIST from their IDX files.

import { join } from "node:path";
import { optionsObject, string } from "../../core/checks";
import { corruptFile } from "../../core/file-errors";
import { findFile } from "../../formats/find-file";
import { catalogue, partOf } from "../catalogue";
import { Dataset } from "../dataset";
import { readIdx } from "../../formats/idx";
import { readSplits, type SplitName, type SplitOptions } from "../splits";

/** Options of {@link mnist}, {@link fashionMnist} and {@link kmnist}. */
export interface MnistOptions<S extends SplitName = SplitName> extends SplitOptions<S> {
  /**
   * Text before the usual file names, as in `mnist-train-images-idx3-ubyte`, for a folder that holds several sets. Default: the set's own `"mnist-"`,
   * `"fashion-"` or `"kmnist-"` where there are such files, else nothing.
   */
  prefix?: string;
}

interface Flavour {
  set: "mnist" | "fashion-mnist" | "kmnist";
  /** The folder that torchvision makes; `folder` is ours beside other data sets. */
  torchvision: string;
  folder: string;
  prefix: string;
}

/**
 * Reads MNIST (Y. LeCun, C. Cortes, C. Burges): handwritten digits, 28×28 grey, 60,000 for training and 10,000 for testing.
 *
 * `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte` are read, plain or with `.gz`, from the
 * directory itself, from torchvision's `MNIST/raw` in it, or from `mnist` in it.
 *
 * @param directory - the folder of the files
 * @param options - the parts to read, and a prefix of the file names
 * @returns a Dataset for each part, under its name
 * @throws ERR_OPTION where an option is unknown or wrong; ERR_IO where a file is missing or cannot be read; ERR_CORRUPT_FILE where one is damaged,
 *   naming the file, what was expected and what was found; ERR_OUT_OF_MEMORY where the memory for the images is unavailable
 * @example
 * import { datasets } from "libtorch-ood";
 *
 * const { train, test } = await datasets.mnist("data/mnist");
 */
export function mnist<S extends SplitName = SplitName>(directory: string, options?: MnistOptions<S>): Promise<Record<S, Dataset>> {
  return read(directory, options, {
    set: "mnist",
    torchvision: "MNIST",
    folder: "mnist",
    prefix: "mnist-",
  });
}

/**
 * Reads Fashion-MNIST (H. Xiao, K. Rasul, R. Vollgraf 2017): pieces of clothing in the format and sizes of {@link mnist}, with its options.
 * Torchvision's folder is `FashionMNIST/raw`, ours is `fashion-mnist`.
 *
 * @param directory - the folder of the files
 * @param options - the parts to read, and a prefix of the file names
 * @returns a Dataset for each part, under its name
 * @throws as {@link mnist}
 * @example
 * import { datasets } from "libtorch-ood";
 *
 * const { test } = await datasets.fashionMnist("data", { splits: ["test"] });
 */
export function fashionMnist<S extends SplitName = SplitName>(directory: string, options?: MnistOptions<S>): Promise<Record<S, Dataset>> {
  return read(directory, options, {
    set: "fashion-mnist",
    torchvision: "FashionMNIST",
    folder: "fashion-mnist",
    prefix: "fashion-",
  });
}

/**
 * Reads KMNIST, Kuzushiji-MNIST (T. Clanuwat et al. 2018): cursive hiragana of ten classes in the format and sizes of {@link mnist}, with its
 * options. Torchvision's folder is `KMNIST/raw`, ours is `kmnist`. The Datasets have no normalization.
 *
 * @param directory - the folder of the files
 * @param options - the parts to read, and a prefix of the file names
 * @returns a Dataset for each part, under its name
 * @throws as {@link mnist}
 * @example
 * import { datasets } from "libtorch-ood";
 *
 * const { test } = await datasets.kmnist("data", { splits: ["test"] });
 */
export function kmnist<S extends SplitName = SplitName>(directory: string, options?: MnistOptions<S>): Promise<Record<S, Dataset>> {
  return read(directory, options, {
    set: "kmnist",
    torchvision: "KMNIST",
    folder: "kmnist",
    prefix: "kmnist-",
  });
}

async function read<S extends SplitName>(
  directory: string,
  options: MnistOptions<S> | undefined,
  flavour: Flavour,
): Promise<Record<S, Dataset>> {
  const { prefix, splits } = optionsObject(options, "options", ["prefix", "splits"]);
  const prefixes = prefix === undefined ? [flavour.prefix, ""] : [string(prefix, "prefix")];
  const directories = [string(directory, "directory"), join(directory, flavour.torchvision, "raw"), join(directory, flavour.folder)];
  return readSplits(splits, async (split) => {
    const start = split === "train" ? "train" : "t10k";
    const find = (kind: string, file: string): Promise<string> => {
      const names = prefixes.flatMap((before) => [`${before}${start}-${file}`, `${before}${start}-${file}.gz`]);
      return findFile(directories, names, `the ${kind} of the ${catalogue[flavour.set].title} ${split} split`);
    };
    const imagesPath = await find("images", "images-idx3-ubyte");
    const labelsPath = await find("labels", "labels-idx1-ubyte");
    return readPair(imagesPath, labelsPath, flavour.set, split);
  });
}

async function readPair(imagesPath: string, labelsPath: string, set: Flavour["set"], split: SplitName): Promise<Dataset> {
  const { title, numClasses: classes, classNames } = catalogue[set];
  const images = await readIdx(imagesPath, 3);
  const labels = await readIdx(labelsPath, 1);
  const [count = 0, height, width] = images.shape;
  if (count === 0) throw corruptFile(imagesPath, "at least one image", "none");
  if (height !== 28 || width !== 28) throw corruptFile(imagesPath, `28×28 images of ${title}`, `${height}×${width}`);
  if (labels.data.length !== count)
    throw corruptFile(labelsPath, `${count} labels, one per image of ${imagesPath}`, `${labels.data.length}`);
  const wrong = labels.data.findIndex((label) => label >= classes);
  if (wrong >= 0) throw corruptFile(labelsPath, `labels from 0 to ${classes - 1}`, `${labels.data[wrong]} for image ${wrong}`);
  return Dataset.fromArrays({
    images: images.data,
    labels: labels.data,
    classNames,
    ...partOf(set, split),
  });
}
