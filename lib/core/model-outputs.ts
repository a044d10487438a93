// What a network gives of an image: the one list of the names by which extraction, scores, detectors and files call these matrices.

/** Features as the last layer sees them, features as pooled, and logits. */
export const modelOutputs = ["features", "rawFeatures", "logits"] as const;

/** The name of one of the {@link modelOutputs}. */
export type ModelOutput = (typeof modelOutputs)[number];

/** Whether a key names one of the {@link modelOutputs}. */
export function isModelOutput(key: string): key is ModelOutput {
  return (modelOutputs as readonly string[]).includes(key);
}
