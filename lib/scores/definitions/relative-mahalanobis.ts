// The score `relative-mahalanobis`: the Mahalanobis score relative to one Gaussian of all training features; directions in which all classes vary cancel.

import { Scope } from "../../core/scope";
import type { ModelOutput } from "../../core/model-outputs";
import { defineScore, type Fitted } from "../define";
import { deviceOption, fromFact, fromOption, numClassesOption } from "../option";
import { SharedCovariance } from "../shared-covariance";
import { damaged, storedObject, storedOption, withoutPrefix, withPrefix } from "../stored";

/**
 * (z − u)ᵀ S₀⁻¹ (z − u) − min_c (z − u_c)ᵀ S⁻¹ (z − u_c) (Ren et al. 2021), with the mean u and covariance S₀ = Σ (z − u)(z − u)ᵀ / N of all
 * training features. Each covariance has its own jitter, by the rule of `"mahalanobis"`.
 */
export const relativeMahalanobis = defineScore({
  name: "relative-mahalanobis",
  formula: "(z − u)ᵀ S₀⁻¹ (z − u) − min_c (z − u_c)ᵀ S⁻¹ (z − u_c)",
  source: "Ren et al. 2021",
  cost: "2·d² + C·d per input",
  chooseWhere: "the other set is close to the training set: directions that all classes share do not count",
  options: { numClasses: numClassesOption, from: fromOption, device: deviceOption },
  facts: {
    from: fromFact,
    jitter: "What was added to the diagonal of S.",
    backgroundJitter: "What was added to the diagonal of S₀.",
    classesWithSamples: "How many classes had samples; with one the score is the same for every input.",
  },
  needs: ({ from }) => ({ fit: [from, "labels"], score: [from] }),
  comparesClasses: true,
  async fit(given, { from, ...options }) {
    const together = new Int32Array(given[from].shape[0] as number);
    return Scope.run(async (scope) => {
      const classes = scope.own(await SharedCovariance.fit(given[from], given.labels, options));
      const background = await SharedCovariance.fit(given[from], together, { ...options, numClasses: 1 });
      return fitted(scope.release(classes), background, from);
    });
  },
  async fitFile(file, { from, ...options }) {
    const together = new Int32Array(file.length);
    return Scope.run(async (scope) => {
      const classes = scope.own(await SharedCovariance.fitFile(file, undefined, { ...options, from }));
      const background = await SharedCovariance.fitFile(file, together, { ...options, from, numClasses: 1 });
      return fitted(scope.release(classes), background, from);
    });
  },
  async restore({ description, tensors }, device, where) {
    const from = storedOption(description, "from", fromOption, where);
    const part = (key: string) => {
      const state = { description: storedObject(description, key, where), tensors: withoutPrefix(tensors, `${key}.`) };
      return SharedCovariance.restore(state, device, where);
    };
    const [classes, background] = [await part("classes"), await part("background")];
    const [own, other] = [classes.mixture.featureDim, background.mixture.featureDim];
    if (own !== other) damaged(where, "background.featureDim", String(own), other);
    return fitted(classes, background, from);
  },
});

interface Facts {
  from: ModelOutput;
  jitter: number;
  backgroundJitter: number;
  classesWithSamples: number;
}

function fitted(classes: SharedCovariance, background: SharedCovariance, from: ModelOutput): Fitted<Facts> {
  const { jitter, classesWithSamples } = classes;
  const oneClass = "all samples are of one class: the score is 0 for every input, but for rounding";
  return {
    facts: { from, jitter, backgroundJitter: background.jitter, classesWithSamples },
    warnings: [
      ...classes.warnings,
      ...(classesWithSamples === 1 ? [oneClass] : []),
      ...background.warnings.map((warning) => `background: ${warning}`),
    ],
    async score(given, signal) {
      const both = [classes, background].map((part) => part.leastSquaredDistance(given[from], signal));
      const [own, apart] = (await Promise.all(both)) as [Float64Array, Float64Array];
      return own.map((distance, i) => (apart[i] as number) - distance);
    },
    async state() {
      const [own, other] = [await classes.mixture.state(), await background.mixture.state()];
      return {
        description: { from, classes: own.description, background: other.description },
        tensors: [...withPrefix(own.tensors, "classes."), ...withPrefix(other.tensors, "background.")],
      };
    },
    dispose() {
      classes.dispose();
      background.dispose();
    },
  };
}
