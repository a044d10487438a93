// Scores that tell in-distribution from out-of-distribution inputs, behind one interface: the public `scores`.

export { fit, requirements } from "./fit";
export { describe, names } from "./registry";
export type { ScoreDescription, ScoreName, ScoreOf, ScoreOptionDescription, ScoreOptions } from "./registry";
export type { ModelOutputs, Requirements, Score, ScoreCallOptions, TrainingOutputs } from "./score";
