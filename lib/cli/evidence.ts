// Model outputs of a data set for scores: one pass over the images, or two where raw and normalised features are wanted.

import type { Dataset } from "../data";
import { predictedClass, softmaxConfidence } from "../metrics";
import type { ExtractAllOptions, ResNet } from "../models/resnet/resnet";
import type { ModelOutputs, TrainingOutputs } from "../scores";
import { scoreRows } from "../scores/rows";
import type { Tensor } from "../native/tensor";

/** Features of the kinds asked for, and logits. */
export async function extractEvidence(
  model: ResNet,
  data: Dataset,
  kinds: readonly (keyof TrainingOutputs)[],
  options: ExtractAllOptions,
): Promise<ModelOutputs & { logits: Tensor }> {
  const raw = kinds.includes("rawFeatures") ? await model.extract(data, { ...options, features: "raw" }) : undefined;
  if (raw !== undefined && !kinds.includes("features")) return { rawFeatures: raw.features, logits: raw.logits };
  const { features, logits } = await model.extract(data, options);
  raw?.logits.dispose();
  return { features, rawFeatures: raw?.features, logits };
}

/** The class of each row of logits, and its softmax probability. */
export async function classify(logits: Tensor, signal: AbortSignal): Promise<{ labels: Int32Array; confidences: Float64Array }> {
  const labels = Int32Array.from(await scoreRows(logits, "logits", signal, predictedClass));
  return { labels, confidences: await scoreRows(logits, "logits", signal, softmaxConfidence) };
}
