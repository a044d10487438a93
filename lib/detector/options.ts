// What a detector is asked for and what it answers: the options of fit, fromFeatures and predict, and a prediction.

import { boolean, finite } from "../core/checks";
import type { Dataset } from "../data/dataset";
import type { ImageResize } from "../images/decode";
import type { ImageFailure } from "../images/failure";
import type { Labels } from "../core/labels";
import type { Precision } from "../native/precision";
import type { PresetName } from "../protocols/preset";
import type { ScoreOptions } from "../scores/registry";
import type { ModelOutputs, ScoreName, TrainingOutputs } from "../scores/score";

/** What a detector says of one input. */
export interface Prediction {
  /** The predicted class; like its name and confidence not there for a detector that was made without labels and logits. */
  label?: number;
  /** The name of the predicted class. */
  className?: string;
  /** Probability of the predicted class: softmax of the logits, or where there are none the posterior of the class mixture. */
  confidence?: number;
  /** Of the detector's score; higher means more in-distribution. */
  score: number;
  /** log q(z) in nats: the score, where that is the Gaussian mixture's; not there for other scores. */
  logDensity?: number;
  /** Share of in-distribution inputs that score no higher, by the calibration: (1 + #{calibration ≤ score}) / (n + 1). */
  pValue: number;
  /** pValue ≤ falseAlarmRate */
  outOfDistribution: boolean;
}

export interface CommonFitOptions<N extends ScoreName> {
  /** Share of in-distribution inputs that may be flagged; n calibration inputs allow 1/(n + 1) at least. Default 0.05. */
  falseAlarmRate?: number;
  /** Default "gaussian-mixture". */
  score?: N;
  /** Of the score, as `scores.fit` takes them; those of the mixture are over the preset's. */
  scoreOptions?: ScoreOptions[N];
  /** Gives the mixture's covariance, prior and jitter. */
  preset?: PresetName;
  /**
   * Share of the calibration inputs whose class is named rightly, below which a warning says that verdicts are of little use. Default 0.5; with
   * 3 classes twice chance, with 2 three quarters. 0: no such warning.
   */
  minimumAccuracy?: number;
  /** Score generated inputs and left-out classes, for {@link Detector.selfTest}. Default true; it takes some seconds. */
  selfTest?: boolean;
  /** Take calibration inputs that were trained on. The false-alarm rate then does not hold. Default false. */
  allowOverlap?: boolean;
  /** Aborts the fit, which then throws ERR_ABORTED. */
  signal?: AbortSignal;
}

/** Options of {@link Detector.fit}. */
export interface DetectorFitOptions<N extends ScoreName = ScoreName> extends CommonFitOptions<N> {
  /** Held-out in-distribution images, none of them trained on. */
  calibration: Dataset;
  /** Images per forward pass. Default 64. */
  batchSize?: number;
  /**
   * Of the convolutions, now and in every prediction, also on another machine. "auto" is bfloat16 where this processor has units for it or on CUDA, else
   * float32; `detector.precision` tells which. Default "float32".
   */
  precision?: Precision;
  /** Of images of another size, in every prediction. Default: as the training images were resized, where they say; else "center-crop". */
  resize?: ImageResize;
  /** Images read, of all. */
  onProgress?: (done: number, total: number) => void | Promise<void>;
}

/** Features of any model, [N, d], with what else is known of it. */
export interface DetectorFeatures<N extends ScoreName = ScoreName> extends CommonFitOptions<N>, TrainingOutputs {
  /** Shape `[N]`: needed by scores that are fitted to classes, such as the default one. Without labels and logits no input is given a class. */
  labels?: Labels;
  /**
   * The same outputs for held-out in-distribution inputs: none that the model of the features was itself trained on, wherever that was, or
   * more in-distribution inputs are flagged than `falseAlarmRate` says. With their labels the detector knows how well it names classes.
   */
  calibration: ModelOutputs & {
    /** Shape `[N]`: the classes of the calibration inputs. */
    labels?: Labels;
  };
  /** Default "0", "1", … */
  classNames?: readonly string[];
  /** "cpu" (default), "cuda" or "cuda:N", of the score. */
  device?: string;
}

/** Options of {@link Detector.predict}. */
export interface PredictOptions {
  /** In place of the detector's own. */
  falseAlarmRate?: number;
  /** Images per forward pass. Default 64. */
  batchSize?: number;
  /**
   * Pixels that an image file may have. Memory and time grow with them. Default: 100 million, and 250 million for a baseline JPEG, as cameras write
   * them: it is decoded row by row, so that only time grows.
   */
  maxPixels?: number;
  /**
   * What becomes of images that cannot be decoded. "throw" (default): the first one ends the call. A function: they have no prediction, the others keep
   * their order, and the function is told of each; its `index` says which one is missing. What it throws ends the call.
   */
  onError?: "throw" | ((failure: ImageFailure) => void | Promise<void>);
  /** Aborts the call, which then throws ERR_ABORTED. */
  signal?: AbortSignal;
}

/** @internal */
export const commonKeys = [
  "falseAlarmRate",
  "score",
  "scoreOptions",
  "preset",
  "allowOverlap",
  "signal",
  "calibration",
  "minimumAccuracy",
  "selfTest",
] as const;

/** @internal @throws ERR_OPTION, ERR_RANGE, ERR_NON_FINITE */
export function examinationOptions(given: Pick<CommonFitOptions<ScoreName>, "minimumAccuracy" | "selfTest">) {
  const { minimumAccuracy, selfTest = true } = given;
  if (minimumAccuracy !== undefined) finite(minimumAccuracy, "minimumAccuracy", 0, 1);
  return { minimumAccuracy, selfTest: boolean(selfTest, "selfTest") };
}
