// The self-test of a detector: which share of generated and left-out inputs it flags, and how far its false-alarm rate may be off.

import { falseAlarmInterval } from "./beta-distribution";
import { flaggedCount } from "./calibration";
import type { LeftOutClass } from "./left-out-classes";

/** A set of inputs, and the share of them that the detector flags at the rate. */
export interface FlaggedShare {
  /** Number of inputs. */
  readonly count: number;
  /** Share of them that is flagged, 0 to 1. */
  readonly flagged: number;
}

/** The inputs of one class, and the share of them that the detector flags. */
export interface FlaggedClass extends FlaggedShare {
  /** Number of the class, from 0. */
  readonly label: number;
  /** Name of the class. */
  readonly className: string;
}

/** Result of {@link Detector.selfTest}. Shares that were not computed when the detector was made, or that cannot be computed, are absent. */
export interface SelfTest {
  /** The rate α that the shares are for. */
  readonly falseAlarmRate: number;
  /**
   * Interval of the share of later in-distribution inputs that is flagged: it holds that share in 95 of 100 calibrations of this size n. Its ends are
   * quantiles of Beta(k, n + 1 − k) with k = ⌊α(n + 1)⌋ (Vovk 2012, proposition 2a).
   */
  readonly falseAlarms: {
    /** The 2.5 % quantile, 0 to 1. */
    readonly lower: number;
    /** The 97.5 % quantile, 0 to 1. */
    readonly upper: number;
  };
  /** Calibration inputs of each class, which show whether one class is flagged more often than another. */
  readonly byClass?: readonly FlaggedClass[];
  /** Noise: images of independent uniform bytes; or features with independent normal columns of the calibration's means and deviations. */
  readonly noise?: FlaggedShare;
  /** Shuffled inputs: calibration images with their 4 × 4 patches in a random order; or features whose columns come from different calibration inputs. */
  readonly shuffled?: FlaggedShare;
  /**
   * Calibration inputs of up to ten classes, each scored by a score that was fitted and calibrated without the class. A network that was trained on the
   * class still has it in its features, so that a class that is really new may be flagged less often.
   */
  readonly leftOutClasses?: FlaggedShare & {
    /** The same for each class that was left out. */
    readonly classes: readonly FlaggedClass[];
  };
}

/** What a detector keeps for its self-test: p-values, from which the shares follow for every rate. */
export interface SelfTestRecord {
  readonly noise?: readonly number[];
  readonly shuffled?: readonly number[];
  readonly leftOutClasses?: readonly LeftOutClass[];
}

interface Subject {
  calibrationScores: Float64Array;
  /** Labels in the order of the scores. */
  calibrationLabels: Int32Array | undefined;
  classNames: readonly string[];
  selfTest: SelfTestRecord | undefined;
}

export function selfTestAt({ calibrationScores, calibrationLabels, classNames, selfTest }: Subject, rate: number): SelfTest {
  const count = calibrationScores.length;
  const { noise, shuffled, leftOutClasses } = selfTest ?? {};
  const named = (label: number, pValues: readonly number[]): FlaggedClass => ({
    label,
    className: classNames[label] ?? String(label),
    ...shareAt(pValues, rate),
  });
  // A calibration without the class is smaller: it may not be able to give the rate at all.
  const left = leftOutClasses?.filter(({ calibrationCount }) => 1 / (calibrationCount + 1) <= rate) ?? [];
  const byClass = calibrationLabels && classPValues(calibrationScores, calibrationLabels);
  return {
    falseAlarmRate: rate,
    falseAlarms: falseAlarmInterval(flaggedCount(rate, count), count),
    ...(byClass ? { byClass: [...byClass].sort(([a], [b]) => a - b).map(([label, pValues]) => named(label, pValues)) } : {}),
    ...(noise ? { noise: shareAt(noise, rate) } : {}),
    ...(shuffled ? { shuffled: shareAt(shuffled, rate) } : {}),
    ...(left.length > 0
      ? {
          leftOutClasses: {
            ...shareAt(
              left.flatMap(({ pValues }) => pValues),
              rate,
            ),
            classes: left.map(({ label, pValues }) => named(label, pValues)),
          },
        }
      : {}),
  };
}

function shareAt(pValues: readonly number[], rate: number): FlaggedShare {
  return { count: pValues.length, flagged: pValues.filter((p) => p <= rate).length / pValues.length };
}

/** The p-value of each calibration input, itself counted once, by class: at a rate the lowest ⌊α(n + 1)⌋ are flagged. */
function classPValues(scores: Float64Array, labels: Int32Array): Map<number, number[]> {
  const byClass = new Map<number, number[]>();
  for (let start = 0; start < scores.length;) {
    let end = start;
    while (end < scores.length && scores[end] === scores[start]) end++;
    for (let i = start; i < end; i++) {
      const label = labels[i] as number;
      const pValues = byClass.get(label) ?? [];
      pValues.push(end / (scores.length + 1));
      byClass.set(label, pValues);
    }
    start = end;
  }
  return byClass;
}
