// What every out-of-distribution score is: something fitted to a model's outputs that gives each input a number, higher for more
// in-distribution. Detectors, protocols and users go by this interface alone.

import type { Labels } from "../core/labels";
import type { ModelOutput } from "../core/model-outputs";
import type { NativeNamedTensor } from "../native/surface";
import type { ArrayWithShape, Tensor } from "../native/tensor";
import type { ScoreName } from "./registry";

export type { ScoreName };

/**
 * What a score may look at, one row per input, float32 or float64; those that its `needs` names must be there, others may be. What
 * `model.extract` gives goes in as it is: its labels are not looked at.
 */
export interface ModelOutputs {
  /** `[N, d]`: what the last layer sees; L2-normalised where the network normalises. */
  features?: Tensor | ArrayWithShape;
  /** `[N, d]`: as they come from pooling, before any normalisation. */
  rawFeatures?: Tensor | ArrayWithShape;
  /** `[N, C]`: as the network makes them. */
  logits?: Tensor | ArrayWithShape;
}

/** What a score may be fitted to: outputs for the (un-augmented) training inputs, their labels, and the last layer. */
export interface TrainingOutputs extends ModelOutputs {
  /** `[N]`: the class of each row. */
  labels?: Labels;
  /** `[C, d]`: of the last layer. */
  weight?: Tensor | ArrayWithShape;
  /** `[C]`: of the last layer; none counts as zeros. */
  bias?: Tensor | ArrayWithShape;
}

/** What a score looks at when it is fitted and when it scores; `bias` counts as given where the last layer has none. */
export interface Requirements {
  /** What `scores.fit` has to be given. */
  readonly fit: readonly (keyof TrainingOutputs)[];
  /** What {@link Score.score} has to be given. */
  readonly score: readonly ModelOutput[];
}

/** Options of {@link Score.score}. */
export interface ScoreCallOptions {
  /** Ends the call: it then throws ERR_ABORTED. */
  signal?: AbortSignal;
}

/** A fitted score. Scores are float64. NaN or infinite input throws ERR_NON_FINITE. */
export interface Score {
  /** By which `scores.fit` knows it. */
  readonly name: ScoreName;
  /** Which model outputs {@link Score.score} looks at. */
  readonly needs: readonly ModelOutput[];
  /** What a user should know about the fit. */
  readonly warnings: readonly string[];
  /** Of a score that compares classes with one another: how many had samples. */
  readonly classesWithSamples?: number;
  /**
   * One number per row; higher means more in-distribution.
   *
   * @returns Float64Array `[N]`
   * @throws ERR_OPTION where outputs that it needs are missing; ERR_NON_FINITE naming the row; ERR_RANGE where a score is beyond float64, as of an
   *   input farther off than 1e154; ERR_SHAPE, ERR_DTYPE, ERR_DISPOSED, ERR_ABORTED
   */
  score(outputs: ModelOutputs, options?: ScoreCallOptions): Promise<Float64Array>;
  /** Gives the memory back now. Idempotent; later use throws ERR_DISPOSED. */
  dispose(): void;
  /** {@link Score.dispose}, for `using`. */
  [Symbol.dispose](): void;
  /** @internal Everything that a file has to hold; `restoreScore` makes a score of it that gives the same numbers, but for rounding in the last bits where the score is a mixture's. */
  state(): Promise<ScoreState>;
}

/** @internal `description` survives JSON; the tensors are float32, float64 or int64. */
export interface ScoreState {
  description: Record<string, unknown>;
  tensors: readonly NativeNamedTensor[];
}
