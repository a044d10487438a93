// The score `vim`: the logits compared with a virtual logit, which measures what the training features' principal subspace does not explain.

import { LibtorchOodError } from "../../core/errors";
import { callNative, runNative } from "../../native/call";
import { native, type NativeVirtualLogit } from "../../native/surface";
import { Tensor } from "../../native/tensor";
import { defineScore, type Fitted } from "../define";
import { deviceOption, integerOption } from "../option";
import { damaged, restoring, storedInteger } from "../stored";

/**
 * logsumexp(l) − α·‖Rᵀ(z − o)‖₂ (Wang et al. 2022). Here l are the logits and o = −W⁺b is the point whose logits are zero. R is an orthonormal basis of
 * the orthogonal complement of the D leading right singular vectors of the training features minus o (not centred). α is the mean largest logit of
 * training inputs over the mean ‖Rᵀ(z − o)‖₂. The singular vectors come from the features themselves: their Gram matrix would lose half the digits.
 */
export const vim = defineScore({
  name: "vim",
  formula: "logsumexp(l) − α·‖Rᵀ(z − o)‖₂",
  source: "Wang et al. 2022",
  cost: "d·(d − D) per input",
  chooseWhere: "the last layer is available; it sees what leaves the main directions of the training features",
  options: {
    dimension: integerOption({
      minimum: 1,
      otherwise: "1000 for d from 2048 on, 512 from 768 on, else ⌊d/2⌋, as in the paper",
      description: "D, the dimensions of the principal subspace, at most d − 1.",
    }),
    device: deviceOption,
  },
  facts: {
    featureDim: "d, the columns of the features.",
    dimension: "D, the dimensions of the principal subspace.",
    alpha: "α: how much the residual counts.",
  },
  needs: { fit: ["features", "logits", "weight", "bias"], score: ["features", "logits"] },
  multiplications: ({ rows, columns }) => 10 * rows * columns ** 2, // a singular value decomposition takes several passes
  async fit(given, { dimension, device, signal }) {
    const featureDim = given.features.shape[1] as number;
    if (featureDim < 2) throw new LibtorchOodError("ERR_SHAPE", `features: expected at least 2 columns, found ${featureDim}`);
    const kept = dimension ?? defaultDimension(featureDim);
    if (kept >= featureDim) {
      throw new LibtorchOodError("ERR_RANGE", `dimension: expected 1 to ${featureDim - 1}, fewer than features has columns, found ${kept}`);
    }
    const handle = callNative(() => new (native().VirtualLogit)(device));
    const [features, logits] = [Tensor.handle(given.features, "features"), Tensor.handle(given.logits, "logits")];
    const [weight, bias] = [Tensor.handle(given.weight, "weight"), given.bias && Tensor.handle(given.bias, "bias")];
    const alpha = await runNative(signal, (control) => handle.fit(control, features, logits, weight, bias, kept));
    return fitted(handle, { featureDim, dimension: kept, alpha });
  },
  async restore({ description, tensors }, device, where) {
    const featureDim = storedInteger(description, "featureDim", 2, where);
    const dimension = storedInteger(description, "dimension", 1, where);
    const handle = callNative(() => new (native().VirtualLogit)(device));
    await restoring(where, () => runNative(undefined, (control) => handle.loadState(control, featureDim, dimension, tensors)));
    const alpha = tensors.find(({ name }) => name === "alpha")?.tensor.toTypedArray()[0];
    if (typeof alpha !== "number") damaged(where, "alpha", "a number", alpha);
    return fitted(handle, { featureDim, dimension, alpha });
  },
});

interface Facts {
  featureDim: number;
  dimension: number;
  alpha: number;
}

function fitted(handle: NativeVirtualLogit, facts: Facts): Fitted<Facts> {
  const { featureDim, dimension, alpha } = facts;
  return {
    facts,
    warnings:
      alpha > 0
        ? []
        : [`alpha is ${alpha}, as the largest logits of training inputs are not positive on average: residuals count the wrong way`],
    async score(given, signal) {
      const [features, logits] = [Tensor.handle(given.features, "features"), Tensor.handle(given.logits, "logits")];
      const scores = await runNative(signal, (control) => handle.evaluate(control, features, logits));
      return scores.toTypedArray() as Float64Array;
    },
    async state() {
      return { description: { featureDim, dimension }, tensors: await runNative(undefined, (control) => handle.state(control)) };
    },
    dispose: () => handle.dispose(),
  };
}

function defaultDimension(featureDim: number): number {
  return featureDim >= 2048 ? 1000 : featureDim >= 768 ? 512 : Math.floor(featureDim / 2);
}
