// The public `datasets`: labelled images in memory, and readers of the usual data sets and of folders of images.

export { catalogue, type DatasetFacts, type DatasetName, type DatasetPart } from "./catalogue";
export { conform, type ImageForm } from "./conform";
export { hash } from "./data-hash";
export { overlap } from "./seen-inputs";
export { cifar10 } from "./readers/cifar10";
export { cifar100 } from "./readers/cifar100";
export { Dataset, type DatasetArrays, type DatasetSplit, type ImageShape } from "./dataset";
export { type DecodingOptions, type DecodingProgress } from "./image-files";
export { imageFolder, type ImageFolderOptions } from "./image-folder";
export { fashionMnist, kmnist, mnist, type MnistOptions } from "./readers/mnist";
export { computeNormalization, normalizations, type Normalization } from "./normalization";
export { preprocessings } from "./preprocessing";
export { read, type ReadOptions } from "./read-named";
export { type SplitName, type SplitOptions } from "./splits";
export { svhn, type SvhnSplit } from "./readers/svhn";
export { tinyImageNet, type TinyImageNetOptions } from "./readers/tiny-imagenet";
