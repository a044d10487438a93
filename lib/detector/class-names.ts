// Which class a detector gives each input: by its logits, or by the posterior of a mixture.

import type { GaussianMixture } from "../statistics/gaussian-mixture";
import { maxLogit, predictedClass, softmaxConfidence } from "../metrics/logit-scores";
import { GaussianMixtureScore } from "../scores/gaussian-mixture-score";
import { scoreRows } from "../scores/rows";
import type { Score } from "../scores/score";
import type { Tensor } from "../native/tensor";
import type { Tensors } from "./evidence";

export interface Naming {
  score: Score;
  classifier: GaussianMixture | undefined;
  labelsFrom: "logits" | "score" | "classifier" | "none";
}

/** Class and probability of each row; undefined for a detector that names none. @throws ERR_NON_FINITE, ERR_ABORTED */
export async function nameClasses(
  { score, classifier, labelsFrom }: Naming,
  evidence: Tensors,
  signal: AbortSignal | undefined,
): Promise<{ labels: Float64Array; confidences: Float64Array } | undefined> {
  if (labelsFrom === "none") return undefined;
  if (labelsFrom === "logits") {
    const logits = evidence.logits as Tensor;
    const confidences = await scoreRows(logits, "logits", signal, softmaxConfidence);
    return { labels: await scoreRows(logits, "logits", signal, predictedClass), confidences };
  }
  const own = score instanceof GaussianMixtureScore ? score : undefined;
  const mixture = classifier ?? (own as GaussianMixtureScore).mixture;
  const features = evidence[classifier ? "features" : (own as GaussianMixtureScore).from] as Tensor;
  const posterior = await mixture.responsibilities(features, { signal });
  try {
    const labels = await scoreRows(posterior, "posterior", signal, predictedClass);
    return { labels, confidences: await scoreRows(posterior, "posterior", signal, maxLogit) };
  } finally {
    posterior.dispose();
  }
}
