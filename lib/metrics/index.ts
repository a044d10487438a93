// The public `metrics`: how well scores tell in-distribution from out-of-distribution inputs, and how well confidence fits accuracy.

export { accuracy } from "./accuracy";
export { aupr, type AuprOptions } from "./aupr";
export { auroc } from "./auroc";
export { bootstrapInterval, type BootstrapInterval, type BootstrapOptions } from "./bootstrap";
export { ece, reliability, type CalibrationOptions, type ReliabilityBin } from "./calibration";
export { prCurve, rocCurve, type CurveOptions, type PrCurve, type RocCurve } from "./curves";
export { evaluate, type EvaluateOptions, type Evaluation, type EvaluationNumbers } from "./evaluate";
export { falsePositivesAmongTop, fprAtTpr, type FprOptions } from "./fpr";
export { energy, maxLogit, predictedClass, softmaxConfidence, softmaxEntropy, type LogitScoreOptions } from "./logit-scores";
export type { PositiveClass } from "./positive-class";
export type { ClassList, NumberList, NumberMatrix } from "./scores";
export { pearson, summary, type Summary } from "./summary";
export { fitTemperature, type TemperatureFit, type TemperatureOptions } from "./temperature";
