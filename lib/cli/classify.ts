// Classifies inputs by the logits of a network: the predicted class of each and its probability.

import { scoreRows } from "../scores/rows";
import type { Tensor } from "../native/tensor";

/** The class of each row of logits, and its softmax probability. */
export async function classify(logits: Tensor, signal: AbortSignal): Promise<{ labels: Int32Array; confidences: Float64Array }> {
  const labels = Int32Array.from(await scoreRows(logits, "logits", "predicted-class", { signal }));
  return { labels, confidences: await scoreRows(logits, "logits", "max-softmax", { signal }) };
}
