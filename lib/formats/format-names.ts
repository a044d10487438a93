// The kinds of the library's own files in words, by the format in their metadata: one kind is often given in place of another.

import { describe } from "../core/checks";

const names: Readonly<Record<string, string>> = {
  "libtorch-ood/resnet": 'a network (of "train" or ResNet.save)',
  "libtorch-ood/detector": 'a detector (of "fit" or Detector.save)',
  "libtorch-ood/gaussian-mixture": "a mixture (of GaussianMixture.save)",
  "libtorch-ood/class-statistics": "class statistics (of ClassStatistics.save)",
};

/** @param format - undefined: the file names none */
export function formatName(format: string | undefined): string {
  if (format === undefined) return "a file of another program";
  return Object.hasOwn(names, format) ? (names[format] as string) : `a file of the format ${describe(format)}`;
}
