// A score that is not part of the library, which planted-score.test.ts puts there: the largest logit, each less its mean over training inputs.

import { Tensor } from "../../../lib/native/tensor";
import { defineScore, type Fitted } from "../../../lib/scores/define";
import { numberOption } from "../../../lib/scores/option";
import { scoreRows } from "../../../lib/scores/rows";
import { damaged, storedOption } from "../../../lib/scores/stored";

const shareOption = numberOption({ minimum: 0, maximum: 1, default: 1, description: "The share of the mean that is subtracted." });

/** max_c (l_c − s·m_c), m_c the mean of logit c over the training inputs. */
export const centredLogit = defineScore({
  name: "centred-logit",
  formula: "max_c (l_c − s·m_c)",
  source: "planted 2026",
  cost: "C per input",
  chooseWhere: "a test plants it",
  options: { share: shareOption },
  facts: { share: "The share of the mean that is subtracted." },
  needs: { fit: ["logits"], score: ["logits"] },
  async fit({ logits }, { share, signal }) {
    await scoreRows(logits, "logits", "max-logit", { signal }); // refuses NaN and infinity
    const [rows, columns] = logits.shape as [number, number];
    const means = new Float64Array(columns);
    for (const [i, value] of logits.toArray().entries()) means[i % columns] = (means[i % columns] as number) + Number(value) / rows;
    return fitted(means, share);
  },
  restore({ description, tensors }, _, where) {
    const share = storedOption(description, "share", shareOption, where);
    const means = tensors.find(({ name }) => name === "means")?.tensor;
    if (means?.dtype !== "float64") damaged(where, "means", "a float64 array of that name", means?.dtype);
    return fitted(means.toTypedArray() as Float64Array, share);
  },
});

function fitted(means: Float64Array, share: number): Fitted<{ share: number }> {
  return {
    facts: { share },
    async score({ logits }, signal) {
      const less = Float64Array.from(logits.toArray() as Float64Array);
      for (let i = 0; i < less.length; i++) less[i] = (less[i] as number) - share * (means[i % means.length] as number);
      const centred = Tensor.from(less, logits.shape);
      try {
        return await scoreRows(centred, "logits", "max-logit", { signal });
      } finally {
        centred.dispose();
      }
    },
    state: () => ({ description: { share }, tensors: [{ name: "means", tensor: Tensor.handle(Tensor.from(means), "means") }] }),
  };
}
