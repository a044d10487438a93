// The score `gaussian-mixture`: the log density of one Gaussian per class, as in Deep Deterministic Uncertainty; the method of this library.

import type { ModelOutput } from "../../core/model-outputs";
import { presetNames } from "../../protocols/preset";
import { covariances, GaussianMixture, jitterRules, priors } from "../../statistics/gaussian-mixture";
import { defineScore, type Fitted } from "../define";
import { choiceOption, choiceOrNumberOption, deviceOption, fromFact, fromOption, integerOption, numClassesOption } from "../option";
import { storedObject, storedOption } from "../stored";

/** log q(z) = logsumexp_c [log N(z; u_c, Σ_c) + log q(c)] in nats (Mukhoti et al. 2021): {@link GaussianMixture.logDensity}. */
export const gaussianMixture = defineScore({
  name: "gaussian-mixture",
  formula: "logsumexp_c [log N(z; u_c, Σ_c) + log q(c)]",
  source: "Mukhoti et al. 2021",
  cost: "C·d² per input, C·d² memory",
  chooseWhere: "this library trained the network; it also gives a density and a posterior",
  options: {
    covariance: choiceOption(covariances, { otherwise: '"full"', description: "How the covariance of each class is estimated." }),
    prior: choiceOption(priors, { otherwise: '"empirical"', description: "The probability of each class in the mixture." }),
    jitter: choiceOrNumberOption(jitterRules, {
      otherwise: '"relative"',
      description: "What is added to the diagonal of a covariance that is not safely positive definite.",
    }),
    rank: integerOption({
      minimum: 1,
      otherwise: "none",
      description: 'The principal axes that covariance "low-rank" keeps, which needs it.',
    }),
    preset: choiceOption(presetNames, {
      otherwise: "none",
      description: "Covariance, prior and jitter of a publication; those that are given beside it override it.",
    }),
    numClasses: numClassesOption,
    from: fromOption,
    device: deviceOption,
  },
  facts: { mixture: "The `GaussianMixture` that was fitted; it is disposed with the score.", from: fromFact },
  needs: ({ from }) => ({ fit: [from, "labels"], score: [from] }),
  async fit(given, { from, ...options }) {
    return fitted(await GaussianMixture.fit(given[from], given.labels, options), from);
  },
  async fitFile(file, { from, ...options }) {
    return fitted(await GaussianMixture.fit(file, undefined, { ...options, from }), from);
  },
  async restore({ description, tensors }, device, where) {
    const from = storedOption(description, "from", fromOption, where);
    const mixture = storedObject(description, "mixture", where);
    return fitted(await GaussianMixture.restore(mixture, tensors, device, where), from);
  },
});

interface Facts {
  mixture: GaussianMixture;
  from: ModelOutput;
}

function fitted(mixture: GaussianMixture, from: ModelOutput): Fitted<Facts> {
  return {
    facts: { mixture, from },
    warnings: mixture.warnings,
    score: (given, signal) => mixture.logDensity(given[from], { signal }),
    async state() {
      const { description, tensors } = await mixture.state();
      return { description: { from, mixture: description }, tensors };
    },
    dispose: () => mixture.dispose(),
  };
}
