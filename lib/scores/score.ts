// The interface of every out-of-distribution score: fitted to a model's outputs, it gives each input a number, higher for more in-distribution.
// Detectors, protocols and users depend on this interface alone.

import type { Labels } from "../core/labels";
import type { ModelOutput } from "../core/model-outputs";
import type { FeaturesFile } from "../formats/features-file";
import type { NativeNamedTensor } from "../native/surface";
import type { ArrayWithShape, Tensor } from "../native/tensor";
import type { ScoreName } from "./registry";

export type { ScoreName };

/**
 * Model outputs that a score may look at, one row per input, float32 or float64. Those that the score's `needs` names are required. The result of
 * {@link ResNet.extract} can be passed as it is: its other fields are ignored.
 */
export interface ModelOutputs {
  /** Features `[N, d]` that the last layer sees; L2-normalised where the network normalises. */
  features?: Tensor | ArrayWithShape;
  /** Features `[N, d]` that pooling gives, before any normalisation. */
  rawFeatures?: Tensor | ArrayWithShape;
  /** Logits `[N, C]` that the network gives. */
  logits?: Tensor | ArrayWithShape;
}

/** Training outputs that a score may be fitted to: model outputs for training inputs without augmentation, their labels, and the last layer. */
export interface TrainingOutputs extends ModelOutputs {
  /** Class of each row (N), from 0. */
  labels?: Labels;
  /** Weight matrix `[C, d]` of the last layer. */
  weight?: Tensor | ArrayWithShape;
  /** Bias vector `[C]` of the last layer. Default: zeros. */
  bias?: Tensor | ArrayWithShape;
}

/** Outputs that a score needs. `bias` counts as given where the last layer has none. */
export interface Requirements {
  /** Training outputs that {@link fit} has to be given. */
  readonly fit: readonly (keyof TrainingOutputs)[];
  /** Model outputs that {@link Score.score} has to be given. */
  readonly score: readonly ModelOutput[];
}

/** Options of {@link Score.score}. */
export interface ScoreCallOptions {
  /** Signal that ends the call with ERR_ABORTED. */
  signal?: AbortSignal;
}

/**
 * A fitted score. Scores are float64, and higher means more in-distribution. NaN or infinite input throws ERR_NON_FINITE.
 *
 * @example
 * const score = await scores.fit("energy");
 * console.log(await score.score({ logits: { data: Float32Array.of(5, 0, 0, 1), shape: [2, 2] } })); // Float64Array(2) [ 5.006715…, 1.313261… ]
 */
export interface Score {
  /** Name of the score, which {@link fit} takes. */
  readonly name: ScoreName;
  /** Model outputs that {@link Score.score} looks at. */
  readonly needs: readonly ModelOutput[];
  /** What a user should know about the fit. */
  readonly warnings: readonly string[];
  /** Number of classes that had samples; absent for most scores that do not compare classes with one another. */
  readonly classesWithSamples?: number;
  /**
   * Scores inputs.
   *
   * @param outputs - model outputs, one row per input; those that {@link Score.needs} names are required. A file of them that `files.openFeatures`
   *   opened is scored piece by piece, without being loaded.
   * @returns one number per row, Float64Array `[N]`; higher means more in-distribution
   * @throws ERR_OPTION if outputs that the score needs are missing; ERR_NON_FINITE for NaN or infinity, naming the row; ERR_RANGE if a score is beyond
   *   float64, as that of an input farther away than 1e154; ERR_SHAPE for an empty matrix, and for other columns than at the fit; ERR_DTYPE for
   *   outputs that are not float32 or float64; ERR_DISPOSED after {@link Score.dispose}; ERR_ABORTED after an abort
   */
  score(outputs: ModelOutputs | FeaturesFile, options?: ScoreCallOptions): Promise<Float64Array>;
  /** Frees the memory. Later calls throw ERR_DISPOSED; a second `dispose` does nothing. */
  dispose(): void;
  /** Calls {@link Score.dispose} at the end of a `using` declaration's block. */
  [Symbol.dispose](): void;
  /**
   * @internal Everything that a file has to hold. `restoreScore` makes a score of it that gives the same numbers, but for rounding in the last bits of a
   * mixture's.
   */
  state(): Promise<ScoreState>;
}

/** @internal State of a score: `description` survives JSON; the tensors are float32, float64 or int64. */
export interface ScoreState {
  description: Record<string, unknown>;
  tensors: readonly NativeNamedTensor[];
}
