// The score `feature-norm`: the length of the features before normalisation. It is fitted to nothing.

import { defineScore, type Fitted } from "../define";
import { scoreRows } from "../rows";

/**
 * ‖h‖₂ of the features h that pooling gives. A network that was trained on normalised features gives out-of-distribution inputs short features; T2FNorm
 * (Regmi et al. 2023) rests on that. The score of T2FNorm itself, and of OpenOOD, is the maximum softmax probability of the last layer applied to h / τ
 * without normalisation; for that score, give such logits to `"max-softmax"`.
 */
export const featureNorm = defineScore({
  name: "feature-norm",
  formula: "‖h‖₂",
  source: "Regmi et al. 2023",
  cost: "d per input",
  chooseWhere: "the network was trained for it",
  options: {},
  facts: {},
  needs: { fit: [], score: ["rawFeatures"] },
  fit: made,
  restore: made,
});

function made(): Fitted<object> {
  return {
    facts: {},
    score: ({ rawFeatures }, signal) => scoreRows(rawFeatures, "rawFeatures", "length", { signal }),
    state: () => ({ description: {}, tensors: [] }),
  };
}
