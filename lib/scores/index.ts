// Scores that tell in-distribution from out-of-distribution inputs, behind one interface: the public `scores`.

export { fit, names, requirements, type Requirements, type ScoreOf, type ScoreOptions } from "./fit";
export type { FeatureNorm, FeatureNormOptions } from "./feature-norm";
export type { GaussianMixtureScore, GaussianMixtureScoreOptions } from "./gaussian-mixture-score";
export type { LogitScore, LogitScoreName, LogitScoreOptions } from "./logit-score";
export type { Mahalanobis, MahalanobisOptions, RelativeMahalanobis } from "./mahalanobis";
export type { NearestNeighbours, NearestNeighboursOptions } from "./nearest-neighbours";
export type { ModelOutputs, Score, ScoreCallOptions, ScoreName, SourceOptions, TrainingOutputs } from "./score";
export type { Vim, VimOptions } from "./vim";
