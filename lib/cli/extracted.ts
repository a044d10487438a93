// Reads features from files that `extract` or another program wrote, for `fit` and `evaluate`, which hold them in memory.

import { featuresNames } from "../formats/features-layout";
import { FeaturesFile } from "../formats/features-file";
import { Tensor, toTensor, type ArrayWithShape } from "../native/tensor";
import type { TrainingOutputs } from "../scores";

/** The files of a folder of features. */
export const arrayFiles: readonly string[] = featuresNames.map((name) => `${name}.npy`);

/**
 * All arrays of what `files.openFeatures` opens.
 *
 * Where a run of `extract` recorded what it wrote, the arrays must be as that run wrote them.
 *
 * @throws as `files.openFeatures` and reading its pieces
 */
export async function readExtracted(path: string): Promise<TrainingOutputs> {
  const file = await FeaturesFile.open(path);
  try {
    const outputs: Record<string, Tensor> = {};
    for (const name of file.arrays.keys()) {
      // One at a time: its copy in JavaScript's memory is gone before the next is read.
      const { labels, [name]: array } = await file.read([name]);
      outputs[name] = labels === undefined ? toTensor(array as ArrayWithShape, name) : Tensor.from(labels);
    }
    return outputs;
  } finally {
    await file.close();
  }
}

/** A list of labels by itself. @throws as {@link readExtracted} */
export async function readLabels(path: string): Promise<Tensor> {
  const file = await FeaturesFile.openLabels(path);
  try {
    return Tensor.from((await file.read(["labels"])).labels as Int32Array);
  } finally {
    await file.close();
  }
}
