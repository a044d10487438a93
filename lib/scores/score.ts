// What every out-of-distribution score is: something fitted to training evidence that gives each input a number, higher for more
// in-distribution. Detectors, protocols and users go by this interface alone.

import { describe, optionalSignal, optionsObject } from "../checks";
import { LibtorchOodError } from "../errors";
import type { Labels } from "../labels";
import type { NativeNamedTensor } from "../native";
import { toTensor, type ArrayWithShape, type Tensor } from "../tensor";

export type ScoreName =
  | "gaussian-mixture"
  | "max-softmax"
  | "max-logit"
  | "entropy"
  | "energy"
  | "mahalanobis"
  | "relative-mahalanobis"
  | "nearest-neighbours"
  | "vim"
  | "feature-norm";

/** What a score may look at, one row per input, float32 or float64; those that its `needs` names must be there, others may be. */
export interface Evidence {
  /** [N, d]: what the last layer sees; L2-normalised where the network normalises. */
  features?: Tensor | ArrayWithShape;
  /** [N, d]: as they come from pooling, before any normalisation. */
  rawFeatures?: Tensor | ArrayWithShape;
  /** [N, C] */
  logits?: Tensor | ArrayWithShape;
}

/** What a score may be fitted to: evidence of the (un-augmented) training inputs, their labels, and the last layer. */
export interface TrainingEvidence extends Evidence {
  /** [N] */
  labels?: Labels;
  /** [C, d]: of the last layer. */
  weight?: Tensor | ArrayWithShape;
  /** [C]: of the last layer; none counts as zeros. */
  bias?: Tensor | ArrayWithShape;
}

export interface ScoreCallOptions {
  signal?: AbortSignal;
}

/** A fitted score. All are float64, and never an answer to NaN or infinite input. */
export interface Score {
  readonly name: ScoreName;
  /** Which evidence {@link Score.score} looks at. */
  readonly needs: readonly (keyof Evidence)[];
  /** What a user should know about the fit. */
  readonly warnings: readonly string[];
  /**
   * One number per row; higher means more in-distribution.
   *
   * @returns Float64Array [N]
   * @throws ERR_OPTION where evidence that it needs is missing; ERR_NON_FINITE naming the row, ERR_SHAPE, ERR_DTYPE, ERR_DISPOSED, ERR_ABORTED
   */
  score(evidence: Evidence, options?: ScoreCallOptions): Promise<Float64Array>;
  /** Gives the memory back now. Idempotent; later use throws ERR_DISPOSED. */
  dispose(): void;
  [Symbol.dispose](): void;
  /** @internal Everything that a file has to hold; `restoreScore` makes a score of it that gives the same numbers to the last bit. */
  state(): Promise<ScoreState>;
}

/** @internal `description` survives JSON; the tensors are float64 or int64. */
export interface ScoreState {
  description: Record<string, unknown>;
  tensors: readonly NativeNamedTensor[];
}

/** @internal One piece of evidence as a Tensor [N, columns] that is not empty. @throws ERR_OPTION, ERR_SHAPE, ERR_DTYPE */
export function evidenceTensor<K extends keyof TrainingEvidence & ("features" | "rawFeatures" | "logits" | "weight")>(
  evidence: TrainingEvidence,
  key: K,
  score: ScoreName,
): Tensor {
  const value = evidence[key];
  if (value === undefined) throw new LibtorchOodError("ERR_OPTION", `evidence.${key}: expected it for the score "${score}", found none`);
  const tensor = toTensor(value, key);
  const { shape, dtype } = tensor;
  if (dtype !== "float32" && dtype !== "float64") {
    throw new LibtorchOodError("ERR_DTYPE", `${key}: expected float32 or float64, found ${dtype}`);
  }
  if (shape.length !== 2 || shape.includes(0)) {
    throw new LibtorchOodError("ERR_SHAPE", `${key}: expected [rows, columns] of at least 1 each, found [${shape.join(", ")}]`);
  }
  return tensor;
}

const evidenceKeys = ["features", "rawFeatures", "logits"] as const;

/** @internal The evidence object itself, with no keys but those of Evidence. @throws ERR_OPTION */
export function evidenceObject(evidence: Evidence): Evidence {
  if (evidence === undefined) throw new LibtorchOodError("ERR_OPTION", `evidence: expected an object, found ${describe(evidence)}`);
  return optionsObject(evidence, "evidence", evidenceKeys);
}

/** @internal The training evidence itself, with no keys but those of TrainingEvidence. @throws ERR_OPTION */
export function trainingObject(training: TrainingEvidence): TrainingEvidence {
  if (training === undefined) throw new LibtorchOodError("ERR_OPTION", `training: expected an object, found ${describe(training)}`);
  return optionsObject(training, "training", [...evidenceKeys, "labels", "weight", "bias"]);
}

/** @internal */
export function signalOf(options: ScoreCallOptions): AbortSignal | undefined {
  return optionalSignal(optionsObject(options, "options", ["signal"]).signal, "signal");
}
