// The one way to a score: its name, what it is fitted to, and its options; and back from what a file held.

import { oneOf, optionsObject } from "../core/checks";
import { FeatureNorm, featureNormOptionKeys, type FeatureNormOptions } from "./feature-norm";
import { gaussianMixtureOptionKeys, GaussianMixtureScore, type GaussianMixtureScoreOptions } from "./gaussian-mixture-score";
import { LogitScore, logitOptionKeys, type LogitScoreOptions } from "./logit-score";
import { Mahalanobis, mahalanobisOptionKeys, RelativeMahalanobis, type MahalanobisOptions } from "./mahalanobis";
import { NearestNeighbours, nearestNeighboursOptionKeys, type NearestNeighboursOptions } from "./nearest-neighbours";
import {
  resolveSource,
  trainingKeys,
  type ModelOutputs,
  type Score,
  type ScoreName,
  type ScoreState,
  type SourceOptions,
  type TrainingOutputs,
} from "./score";
import { Vim, vimOptionKeys, type VimOptions } from "./vim";

/** The options of each score. */
export interface ScoreOptions {
  "gaussian-mixture": GaussianMixtureScoreOptions;
  "max-softmax": LogitScoreOptions;
  "max-logit": Omit<LogitScoreOptions, "temperature">;
  entropy: LogitScoreOptions;
  energy: LogitScoreOptions;
  mahalanobis: MahalanobisOptions;
  "relative-mahalanobis": MahalanobisOptions;
  "nearest-neighbours": NearestNeighboursOptions;
  vim: VimOptions;
  "feature-norm": FeatureNormOptions;
}

/** The class of each score. */
export interface ScoreOf {
  "gaussian-mixture": GaussianMixtureScore;
  "max-softmax": LogitScore;
  "max-logit": LogitScore;
  entropy: LogitScore;
  energy: LogitScore;
  mahalanobis: Mahalanobis;
  "relative-mahalanobis": RelativeMahalanobis;
  "nearest-neighbours": NearestNeighbours;
  vim: Vim;
  "feature-norm": FeatureNorm;
}

interface Kind<N extends ScoreName> {
  fit(training: TrainingOutputs, options?: ScoreOptions[N]): Promise<ScoreOf[N]>;
  restore(state: ScoreState, device: string, where: string): Promise<ScoreOf[N]>;
  /** Every option there is. */
  optionKeys: readonly string[];
  /** What fit() looks at, and score(). */
  requirements(options?: ScoreOptions[N]): Requirements;
}

/** What a score looks at; `bias` counts as given where the last layer has none. */
export interface Requirements {
  fit: readonly (keyof TrainingOutputs)[];
  score: readonly (keyof ModelOutputs)[];
}

const logitScore = <N extends "max-softmax" | "max-logit" | "entropy" | "energy">(name: N) => ({
  fit: async (_: TrainingOutputs, options?: ScoreOptions[N]) => Promise.resolve(LogitScore.create(name, options)),
  restore: async (state: ScoreState, _: string, where: string) => Promise.resolve(LogitScore.restore(name, state, where)),
  optionKeys: logitOptionKeys(name),
  requirements: (): Requirements => ({ fit: [], score: ["logits"] }),
});

const withLabels = (options: SourceOptions = {}): Requirements => {
  const { from } = resolveSource(options);
  return { fit: [from, "labels"], score: [from] };
};

const kinds: { [N in ScoreName]: Kind<N> } = {
  "gaussian-mixture": {
    fit: (training, options) => GaussianMixtureScore.fit(training, options),
    restore: (state, device, where) => GaussianMixtureScore.restore(state, device, where),
    optionKeys: gaussianMixtureOptionKeys,
    requirements: withLabels,
  },
  "max-softmax": logitScore("max-softmax"),
  "max-logit": logitScore("max-logit"),
  entropy: logitScore("entropy"),
  energy: logitScore("energy"),
  mahalanobis: {
    fit: (training, options) => Mahalanobis.fit(training, options),
    restore: (state, device, where) => Mahalanobis.restore(state, device, where),
    optionKeys: mahalanobisOptionKeys,
    requirements: withLabels,
  },
  "relative-mahalanobis": {
    fit: (training, options) => RelativeMahalanobis.fit(training, options),
    restore: (state, device, where) => RelativeMahalanobis.restore(state, device, where),
    optionKeys: mahalanobisOptionKeys,
    requirements: withLabels,
  },
  "nearest-neighbours": {
    fit: (training, options) => NearestNeighbours.fit(training, options),
    restore: (state, device, where) => NearestNeighbours.restore(state, device, where),
    optionKeys: nearestNeighboursOptionKeys,
    requirements: (options = {}) => {
      const { from } = resolveSource(options);
      return { fit: [from], score: [from] };
    },
  },
  vim: {
    fit: (training, options) => Vim.fit(training, options),
    restore: (state, device, where) => Vim.restore(state, device, where),
    optionKeys: vimOptionKeys,
    requirements: () => ({ fit: ["features", "logits", "weight", "bias"], score: ["features", "logits"] }),
  },
  "feature-norm": {
    fit: async (_, options) => Promise.resolve(FeatureNorm.create(options)),
    restore: async () => Promise.resolve(FeatureNorm.create()),
    optionKeys: featureNormOptionKeys,
    requirements: () => ({ fit: [], score: ["rawFeatures"] }),
  },
};

/** The names of all scores. */
export const names = Object.freeze(Object.keys(kinds) as ScoreName[]);

/**
 * Fits a score; {@link requirements} says to what. Those of logits alone and `"feature-norm"` are fitted to nothing.
 *
 * @param name - `"gaussian-mixture"` (the method of this library), `"max-softmax"`, `"max-logit"`, `"entropy"`, `"energy"`, `"mahalanobis"`,
 *   `"relative-mahalanobis"`, `"nearest-neighbours"`, `"vim"` or `"feature-norm"`
 * @throws ERR_OPTION for an unknown name or option, or where outputs are missing; ERR_NON_FINITE naming the row, ERR_SHAPE, ERR_DTYPE, ERR_RANGE,
 *   ERR_ABORTED, ERR_DEVICE; ERR_NOT_POSITIVE_DEFINITE where features do not vary within classes
 *
 * @example
 * const vim = await scores.fit("vim", { features, logits, weight, bias });
 * metrics.auroc(await vim.score({ features: test.features, logits: test.logits }), await vim.score({ features: ood.features, logits: ood.logits }));
 */
export async function fit<N extends ScoreName>(name: N, training: TrainingOutputs = {}, options?: ScoreOptions[N]): Promise<ScoreOf[N]> {
  const kind = kinds[oneOf(name, "name", names)];
  optionsObject(training, "training", trainingKeys as readonly (keyof TrainingOutputs)[]);
  return kind.fit(training, options) as Promise<ScoreOf[N]>;
}

/**
 * Which outputs `fit` and `score` of a score look at under the options, so that nothing else need be extracted.
 *
 * @throws ERR_OPTION
 *
 * @example
 * scores.requirements("vim"); // { fit: ["features", "logits", "weight", "bias"], score: ["features", "logits"] }
 */
export function requirements<N extends ScoreName>(name: N, options?: ScoreOptions[N]): Requirements {
  const kind = kinds[oneOf(name, "name", names)];
  optionsObject<Record<string, unknown>>(options as Record<string, unknown> | undefined, "options", kind.optionKeys);
  return kind.requirements(options);
}

/**
 * @internal From what {@link Score.state} gave; `where` names its source in errors.
 * @throws ERR_CORRUPT_FILE
 */
export async function restoreScore(name: ScoreName, state: ScoreState, device: string, where: string): Promise<Score> {
  return kinds[oneOf(name, "name", names)].restore(state, device, where);
}
