// The one list of a network's outputs, by the names that extraction, scores, detectors and files use for these matrices.

/** The outputs: features as the last layer sees them, features as pooled, and logits. */
export const modelOutputs = ["features", "rawFeatures", "logits"] as const;

/** The name of one of the {@link modelOutputs}. */
export type ModelOutput = (typeof modelOutputs)[number];

/** Whether a key names one of the {@link modelOutputs}. */
export function isModelOutput(key: string): key is ModelOutput {
  return (modelOutputs as readonly string[]).includes(key);
}
