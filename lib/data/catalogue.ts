// The one catalogue of the data sets that the library knows by name: what each is called, what is in it, and how it is read.

import type { DatasetArrays, ImageShape } from "./dataset";
import { normalizations, type Normalization } from "./normalization";

/** A part of a data set as it is published. */
export type DatasetPart = "train" | "test" | "extra" | "validation";

/** What is known of a data set before its files are read. */
export interface DatasetFacts {
  /** What its Datasets are called: "CIFAR-10". */
  readonly title: string;
  /** [C, H, W] of its images as they are published. */
  readonly shape: ImageShape;
  /** The number of its classes. */
  readonly numClasses: number;
  /** In label order, where no file of the data set holds them. */
  readonly classNames?: readonly string[];
  /** The literature's constants for its training images; undefined where there are none in use. */
  readonly normalization?: Normalization;
  /** The parts that its reader gives; where it is told apart from another set, or a network is tested on it, `"test"` or else the last of them. */
  readonly parts: readonly DatasetPart[];
}

const facts = {
  mnist: {
    title: "MNIST",
    shape: [1, 28, 28],
    numClasses: 10,
    classNames: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    normalization: normalizations.mnist,
    parts: ["train", "test"],
  },
  "fashion-mnist": {
    title: "Fashion-MNIST",
    shape: [1, 28, 28],
    numClasses: 10,
    classNames: ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"],
    normalization: normalizations.fashionMnist,
    parts: ["train", "test"],
  },
  kmnist: {
    title: "KMNIST",
    shape: [1, 28, 28],
    numClasses: 10,
    classNames: ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"],
    parts: ["train", "test"],
  },
  cifar10: { title: "CIFAR-10", shape: [3, 32, 32], numClasses: 10, normalization: normalizations.cifar10, parts: ["train", "test"] },
  cifar100: { title: "CIFAR-100", shape: [3, 32, 32], numClasses: 100, normalization: normalizations.cifar100, parts: ["train", "test"] },
  svhn: {
    title: "SVHN",
    shape: [3, 32, 32],
    numClasses: 10,
    classNames: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    normalization: normalizations.svhn,
    parts: ["train", "test", "extra"],
  },
  "tiny-imagenet": { title: "Tiny ImageNet", shape: [3, 64, 64], numClasses: 200, parts: ["validation"] },
} as const satisfies Record<string, DatasetFacts>;

/** Names of the data sets, as the command line and configurations use them. */
export type DatasetName = keyof typeof facts;

/** What is known of every data set, by the name that the command line and configurations use. */
export const catalogue: Readonly<Record<DatasetName, DatasetFacts>> = facts;

/** The names of the {@link catalogue}, in its order. */
export const datasetNames = Object.keys(catalogue) as DatasetName[];

/** The part that stands for the set where it is measured: the test images, or the only ones that are labelled. */
export function testPart(name: DatasetName): DatasetPart {
  const parts: readonly DatasetPart[] = catalogue[name].parts;
  return parts.includes("test") ? "test" : (parts.at(-1) as DatasetPart);
}

/** What a Dataset says of itself that was read from one of these. */
export function partOf(name: DatasetName, part: DatasetPart): Pick<DatasetArrays, "name" | "part" | "shape" | "normalization"> {
  const { title, shape, normalization }: DatasetFacts = catalogue[name];
  return { name: title, part, shape, normalization };
}
