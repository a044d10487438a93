// The public namespace `scores`: scores that tell in-distribution from out-of-distribution inputs, behind one interface.

export { fit, requirements } from "./fit";
export { describe, names } from "./registry";
export type { ScoreOptionDescription } from "./option";
export type { EveryScoreOptions, ScoreDescription, ScoreName, ScoreOf, ScoreOptions, ScorePropertyDescription } from "./registry";
export type { ModelOutputs, Requirements, Score, ScoreCallOptions, TrainingOutputs } from "./score";
