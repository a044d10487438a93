// The score `mahalanobis`: the negative squared Mahalanobis distance to the nearest class, with one covariance for all classes.

import type { ModelOutput } from "../../core/model-outputs";
import { defineScore, type Fitted } from "../define";
import { deviceOption, fromFact, fromOption, numClassesOption } from "../option";
import { SharedCovariance } from "../shared-covariance";
import { storedObject, storedOption } from "../stored";

/**
 * −min_c (z − u_c)ᵀ S⁻¹ (z − u_c) (Lee et al. 2018), with class means u_c and S = Σ (z − u_c)(z − u_c)ᵀ / N as in their code and OpenOOD's. Their
 * scores of other layers and of perturbed inputs are not part of it. If S is not safely positive definite, the smallest 10^k·tr(S)/d that makes it so is
 * added to its diagonal. They take a pseudoinverse, which ignores a direction without variance.
 */
export const mahalanobis = defineScore({
  name: "mahalanobis",
  formula: "−min_c (z − u_c)ᵀ S⁻¹ (z − u_c)",
  source: "Lee et al. 2018",
  cost: "d² + C·d per input",
  chooseWhere: "classes are small, or alike in shape",
  options: { numClasses: numClassesOption, from: fromOption, device: deviceOption },
  facts: { from: fromFact, jitter: "What was added to the diagonal of S." },
  needs: ({ from }) => ({ fit: [from, "labels"], score: [from] }),
  async fit(given, { from, ...options }) {
    return fitted(await SharedCovariance.fit(given[from], given.labels, options), from);
  },
  async fitFile(file, { from, ...options }) {
    return fitted(await SharedCovariance.fitFile(file, undefined, { ...options, from }), from);
  },
  async restore({ description, tensors }, device, where) {
    const from = storedOption(description, "from", fromOption, where);
    const classes = { description: storedObject(description, "classes", where), tensors };
    return fitted(await SharedCovariance.restore(classes, device, where), from);
  },
});

interface Facts {
  from: ModelOutput;
  jitter: number;
}

function fitted(classes: SharedCovariance, from: ModelOutput): Fitted<Facts> {
  return {
    facts: { from, jitter: classes.jitter },
    warnings: classes.warnings,
    score: async (given, signal) => (await classes.leastSquaredDistance(given[from], signal)).map((distance) => -distance),
    async state() {
      const { description, tensors } = await classes.mixture.state();
      return { description: { from, classes: description }, tensors };
    },
    dispose: () => classes.dispose(),
  };
}
