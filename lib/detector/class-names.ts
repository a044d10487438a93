// Names the class of each input, by its logits or by the posterior of a mixture.

import { Scope } from "../core/scope";
import type { GaussianMixture } from "../statistics/gaussian-mixture";
import type { ScoreOf } from "../scores/registry";
import { scoreRows } from "../scores/rows";
import type { Score } from "../scores/score";
import type { Tensor } from "../native/tensor";
import type { Tensors } from "./outputs";

export interface Naming {
  score: Score;
  classifier: GaussianMixture | undefined;
  labelsFrom: "logits" | "score" | "classifier" | "none";
}

/** The score as the Gaussian mixture that it is, which can name classes; undefined for other scores. */
export function asMixture(score: Score): ScoreOf["gaussian-mixture"] | undefined {
  return score.name === "gaussian-mixture" ? (score as ScoreOf["gaussian-mixture"]) : undefined;
}

/**
 * Class and probability of each row; undefined for a detector that names none.
 *
 * @throws ERR_NON_FINITE for a row with NaN or infinity; ERR_ABORTED after an abort
 */
export async function nameClasses(
  { score, classifier, labelsFrom }: Naming,
  outputs: Tensors,
  signal: AbortSignal | undefined,
): Promise<{ labels: Float64Array; confidences: Float64Array } | undefined> {
  if (labelsFrom === "none") return undefined;
  if (labelsFrom === "logits") {
    const logits = outputs.logits as Tensor;
    const confidences = await scoreRows(logits, "logits", "max-softmax", { signal });
    return { labels: await scoreRows(logits, "logits", "predicted-class", { signal }), confidences };
  }
  const own = asMixture(score) as ScoreOf["gaussian-mixture"];
  const mixture = classifier ?? own.mixture;
  const features = outputs[classifier ? "features" : own.from] as Tensor;
  return Scope.run(async (scope) => {
    const posterior = scope.own(await mixture.responsibilities(features, { signal }));
    const labels = await scoreRows(posterior, "posterior", "predicted-class", { signal });
    return { labels, confidences: await scoreRows(posterior, "posterior", "max-logit", { signal }) };
  });
}
