// Calibration: p-values against the scores of held-out in-distribution inputs, and how many of them a false-alarm rate needs.

import { finite } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { definitionOf } from "../scores/registry";
import type { Score } from "../scores/score";
import { pick, type Tensors } from "./outputs";
import { located } from "../core/located";

export const defaultFalseAlarmRate = 0.05;

/**
 * The conformal p-value of a score: (1 + #{calibration scores ≤ s}) / (n + 1). Where s is exchangeable with the calibration scores,
 * P(p ≤ α) ≤ α for every α, ties included (Vovk et al. 2005; Bates et al. 2023).
 *
 * @param sorted - the n calibration scores, ascending
 */
export function pValue(sorted: Float64Array, score: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as number) <= score) low = middle + 1;
    else high = middle;
  }
  return (1 + low) / (sorted.length + 1);
}

/**
 * The rate, if `count` calibration inputs can give a p-value that small.
 *
 * @throws ERR_RANGE if there are too few inputs, naming the number that is needed, and for a rate outside 0 to 1; ERR_OPTION for anything but a number;
 *   ERR_NON_FINITE for NaN and infinity
 */
export function checkFalseAlarmRate(value: unknown, count: number): number {
  const rate = finite(value, "falseAlarmRate", Number.MIN_VALUE, 1);
  if (1 / (count + 1) <= rate) return rate;
  let needed = Math.ceil(1 / rate) - 1;
  if (1 / (needed + 1) > rate) needed++; // once: beyond 2^53 another one would change nothing
  const found = `found ${count}: no p-value is below 1/${count + 1}`;
  throw new LibtorchOodError("ERR_RANGE", `falseAlarmRate: ${needed} calibration inputs are needed for a rate of ${rate}, ${found}`);
}

/** The number k of the lowest calibration scores that mark what is flagged: the greatest k with k/(n + 1) ≤ rate. */
export function flaggedCount(rate: number, count: number): number {
  let k = Math.min(count + 1, Math.floor(rate * (count + 1)) + 1);
  while (k / (count + 1) > rate) k--; // as predict() compares, whatever the product above was rounded to
  return k;
}

interface CalibrationChoices {
  numClasses: number;
  falseAlarmRate: number;
  signal: AbortSignal | undefined;
}

/**
 * The scores of held-out inputs, in their order and ascending, and warnings about them.
 *
 * @throws ERR_NON_FINITE for a score that is not finite; ERR_OPTION if all are equal, as nothing would ever be flagged
 */
export async function calibrate(score: Score, outputs: Tensors, { numClasses, falseAlarmRate, signal }: CalibrationChoices) {
  const scores = await located("calibration.", score.score(pick(outputs, score.needs), { signal }));
  const wrong = scores.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0)
    throw new LibtorchOodError("ERR_NON_FINITE", `calibration: expected finite scores, found ${scores[wrong]} for input ${wrong}`);
  const sorted = Float64Array.from(scores).sort();
  requireDifferent(score, sorted, numClasses);
  return { scores, sorted, warnings: tieWarnings(sorted, falseAlarmRate) };
}

function requireDifferent(score: Score, sorted: Float64Array, numClasses: number): void {
  const classes = score.classesWithSamples ?? numClasses;
  const oneClass = classes === 1 && definitionOf(score.name).comparesClasses === true; // but for rounding, so their scores need no look
  if (!oneClass && (sorted.length < 2 || sorted[0] !== sorted.at(-1))) return;
  const found = `${sorted[0]} for all ${sorted.length} inputs`;
  const why = oneClass ? ": with one class it is the same for every input" : "";
  const advice = oneClass ? '"gaussian-mixture" and "nearest-neighbours" serve one class' : "it gives all in-distribution inputs one score";
  throw new LibtorchOodError("ERR_OPTION", `calibration: expected scores "${score.name}" that differ, found ${found}${why}; ${advice}`);
}

/** Warns of ties among the lowest scores, because of which only inputs below the tie are flagged, fewer than the rate allows. */
function tieWarnings(sorted: Float64Array, rate: number): string[] {
  const allowed = flaggedCount(rate, sorted.length);
  const edge = sorted[allowed - 1];
  if (edge === undefined) return [];
  const below = sorted.filter((value) => value < edge).length;
  const tied = sorted.filter((value) => value === edge).length;
  const flagged = below + tied <= allowed ? below + tied : below;
  if (tied <= 2 || flagged >= allowed / 2) return [];
  return [
    `calibration: ${tied} of ${sorted.length} inputs have the same score ${edge}: of the ${allowed} lowest, which the rate of ${rate} allows to flag, ` +
      `only ${flagged} are below that; the detector flags fewer inputs than asked for`,
  ];
}
