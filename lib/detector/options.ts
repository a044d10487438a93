// What a detector takes and gives: the options of fit, fromFeatures and predict, and a prediction.

import { boolean, finite } from "../core/checks";
import type { Dataset } from "../data/dataset";
import type { ImageResize } from "../images/geometry";
import type { ImageFailure, Truncated } from "../images/failure";
import type { Labels } from "../core/labels";
import type { Precision } from "../native/precision";
import type { PresetName } from "../protocols/preset";
import type { FeatureExtractor } from "../models/extractor";
import type { ScoreOptions } from "../scores/registry";
import type { ModelOutputs, ScoreName, TrainingOutputs } from "../scores/score";

/** What a detector says of one input. Label, class name and confidence are absent if the detector was made without labels and logits. */
export interface Prediction {
  /** Number of the predicted class, from 0. */
  label?: number;
  /** Name of the predicted class. */
  className?: string;
  /** Probability of the predicted class, 0 to 1: from the softmax of the logits, or without logits from the posterior of the class mixture. */
  confidence?: number;
  /** The detector's score; higher means more in-distribution. */
  score: number;
  /** Log density log q(z) in nats, which is the score `"gaussian-mixture"`; absent for other scores. */
  logDensity?: number;
  /** Conformal p-value (1 + #{calibration scores ≤ score}) / (n + 1): the share of in-distribution inputs that score no higher, by the n calibration inputs. */
  pValue: number;
  /** Whether the detector flags the input: pValue ≤ falseAlarmRate. */
  outOfDistribution: boolean;
}

/** Options that {@link Detector.fit} and {@link Detector.fromFeatures} share. */
export interface CommonFitOptions<N extends ScoreName> {
  /** Share of in-distribution inputs that may be flagged, more than 0 and at most 1. With n calibration inputs the smallest rate is 1/(n + 1). Default 0.05. */
  falseAlarmRate?: number;
  /** Name of the score, one of `scores.names`. Default "gaussian-mixture". */
  score?: N;
  /** Options of the score, as {@link scores.fit} takes them. Those of the mixture override the preset's. */
  scoreOptions?: ScoreOptions[N];
  /** Preset that gives the mixture's covariance, prior and jitter. Default: none. */
  preset?: PresetName;
  /**
   * Share of the calibration inputs, 0 to 1, whose class must be named correctly; below it a warning says that the detector's verdicts are of little
   * use. 0 switches the warning off. Default: 0.5; with 3 classes twice chance (2/3), with 2 classes 0.75.
   */
  minimumAccuracy?: number;
  /** The detector scores generated inputs and left-out classes, for {@link Detector.selfTest}, which takes some seconds. Default true. */
  selfTest?: boolean;
  /** Calibration inputs that were trained on are allowed. The false-alarm rate then does not hold. Default false. */
  allowOverlap?: boolean;
  /** Signal that ends the call with ERR_ABORTED. */
  signal?: AbortSignal;
}

/** Options of {@link Detector.fit}. */
export interface DetectorFitOptions<N extends ScoreName = ScoreName> extends CommonFitOptions<N> {
  /** Held-out in-distribution images, none of which the network was trained on. */
  calibration: Dataset;
  /** Number of images per forward pass. Default 64. */
  batchSize?: number;
  /**
   * Precision of the convolutions, now and in every prediction, also on another machine. "auto" is bfloat16 on CUDA and where this processor has units
   * for it, else float32; {@link Detector.precision} tells which. Default "float32".
   */
  precision?: Precision;
  /** How every prediction resizes images of another size. Default: as the training images were resized if their data set says so, else "center-crop". */
  resize?: ImageResize;
  /** Function that is told how many of `total` images have been read. An error that it throws ends the call. */
  onProgress?: (done: number, total: number) => void | Promise<void>;
}

/** Options of {@link Detector.fromFeatures}: features of any model, [N, d], and what else is known of it. */
export interface DetectorFeatures<N extends ScoreName = ScoreName> extends CommonFitOptions<N>, TrainingOutputs {
  /** One label per row (N). Scores that are fitted to classes, such as the default one, need them. Without labels and logits no input is given a class. */
  labels?: Labels;
  /**
   * The same outputs for held-out in-distribution inputs. The model of the features must not have been trained on any of them, or more in-distribution
   * inputs are flagged than `falseAlarmRate` says. With their labels the detector knows how well it names classes.
   */
  calibration: ModelOutputs & {
    /** One label per calibration row. */
    labels?: Labels;
  };
  /** Names of the classes in label order. Default "0", "1", … */
  classNames?: readonly string[];
  /** Device of the score: "cpu", "cuda" or "cuda:N". Default "cpu". */
  device?: string;
}

/** Options of {@link Detector.load}. */
export interface DetectorLoadOptions {
  /** Device of network and score: "cpu", "cuda" or "cuda:N". Default "cpu". */
  device?: string;
  /** The model, or the path of its file, where the detector's own file does not hold the weights. */
  model?: FeatureExtractor | string;
  /** Largest image side in pixels that a network in the file may have. Default: no limit. */
  maxImageSize?: number;
}

/** Options of {@link Detector.predict}. */
export interface PredictOptions {
  /** False-alarm rate of this call. Default: the detector's own. */
  falseAlarmRate?: number;
  /** Number of images per forward pass. Default 64. */
  batchSize?: number;
  /**
   * Largest number of pixels that an image file may have. Memory and time grow with it. Default: 100 million, and 250 million for a baseline JPEG, as
   * cameras write them: it is decoded row by row, so that only time grows.
   */
  maxPixels?: number;
  /**
   * What becomes of an image file whose end is missing. "refuse": it cannot be decoded. "accept": what is there of it is taken; the rest is grey in a
   * JPEG and black in others. Default "refuse".
   */
  truncated?: Truncated;
  /**
   * What happens with images that cannot be decoded. With "throw" the first one ends the call. With a function they have no prediction, the others keep
   * their order, and the function is told of each; its `index` says which one is missing. An error that it throws ends the call. Default "throw".
   */
  onError?: "throw" | ((failure: ImageFailure) => void | Promise<void>);
  /** Signal that ends the call with ERR_ABORTED. */
  signal?: AbortSignal;
}

/** @internal Keys of the options that {@link Detector.fit} and {@link Detector.fromFeatures} share. */
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

/** @internal The options of the self-test and of its warnings, checked. @throws ERR_OPTION, ERR_RANGE, ERR_NON_FINITE */
export function examinationOptions(given: Pick<CommonFitOptions<ScoreName>, "minimumAccuracy" | "selfTest">) {
  const { minimumAccuracy, selfTest = true } = given;
  if (minimumAccuracy !== undefined) finite(minimumAccuracy, "minimumAccuracy", 0, 1);
  return { minimumAccuracy, selfTest: boolean(selfTest, "selfTest") };
}
