// MNIST, Fashion-MNIST and KMNIST from their IDX files.

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
   * What stands before the usual file names, as in "mnist-train-images-idx3-ubyte". Default: nothing, or the set's own "mnist-", "fashion-" or
   * "kmnist-" where there are such files, since a folder that holds several sets needs them.
   */
  prefix?: string;
}

interface Flavour {
  set: "mnist" | "fashion-mnist" | "kmnist";
  /** The folder that torchvision makes, and ours beside other data sets. */
  torchvision: string;
  folder: string;
  prefix: string;
}

/**
 * MNIST: handwritten digits, 28×28 grey (60,000 to train, 10,000 to test in the full files).
 *
 * Reads `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-…`, each plain or with `.gz`, from the directory itself,
 * or from torchvision's `MNIST/raw` or from `mnist` in it. Source: Y. LeCun, C. Cortes, C. Burges.
 *
 * @throws ERR_IO where a file is missing or cannot be read; ERR_CORRUPT_FILE, naming the file, what was expected and what was found
 * @example
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
 * Fashion-MNIST: pieces of clothing in the format of {@link mnist}, and with its options (torchvision's folder is `FashionMNIST/raw`, ours
 * `fashion-mnist`). Source: H. Xiao, K. Rasul, R. Vollgraf 2017.
 *
 * @throws as {@link mnist}
 * @example
 * const { test } = await datasets.fashionMnist("data/fashion", { splits: ["test"] });
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
 * KMNIST (Kuzushiji-MNIST): cursive hiragana of ten classes in the format of {@link mnist}, and with its options (torchvision's folder is `KMNIST/raw`,
 * ours `kmnist`). No normalisation is set. Source: T. Clanuwat et al. 2018.
 *
 * @throws as {@link mnist}
 * @example
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
