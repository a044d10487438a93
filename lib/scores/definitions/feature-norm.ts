// The length of the features before normalisation. Nothing is fitted.

import type { NumberMatrix } from "../../metrics/scores";
import { defineScore, type Fitted } from "../define";
import { scoreRows } from "../rows";

/**
 * ‖h‖₂ of the features as pooled: a network that was trained on normalised features gives unknown inputs short ones, which is what
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
    score: ({ rawFeatures }, signal) => scoreRows(rawFeatures, "rawFeatures", signal, lengths),
    state: () => ({ description: {}, tensors: [] }),
  };
}

/** Divided by the largest entry first, so that no square overflows or vanishes. */
function lengths({ data, shape }: NumberMatrix): Float64Array {
  const [rows, columns] = shape as [number, number];
  const result = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    let largest = 0;
    for (let i = row * columns; i < (row + 1) * columns; i++) largest = Math.max(largest, Math.abs(data[i] as number));
    if (largest === 0) continue;
    let sum = 0;
    for (let i = row * columns; i < (row + 1) * columns; i++) sum += ((data[i] as number) / largest) ** 2;
    result[row] = largest * Math.sqrt(sum);
  }
  return result;
}
