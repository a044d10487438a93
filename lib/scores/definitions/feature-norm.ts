// The length of the features before normalisation. Nothing is fitted.

import { defineScore, type Fitted } from "../define";
import { scoreRows } from "../rows";

/**
 * ‖h‖₂ of the features as pooled: a network that was trained on normalised features gives out-of-distribution inputs short ones, which is what
 * T2FNorm (Regmi et al. 2023) rests on. Its own score, and OpenOOD's, is the maximum softmax probability of the last layer applied to h / τ
 * without normalisation; for that, give such logits to `"max-softmax"`.
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
