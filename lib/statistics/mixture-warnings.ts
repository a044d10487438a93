// Warnings about a fitted Gaussian mixture: where its density rests on something other than the samples of a class.

import { listed } from "../core/checks";
import type { Covariance, Jitter } from "./gaussian-mixture";

/** The outcome of a fit; lists have one entry per class, by label. */
interface Fit {
  featureDim: number;
  covariance: Covariance;
  /** Number of principal axes of covariance "low-rank". */
  rank: number;
  jitterRule: Jitter;
  counts: readonly number[];
  jitter: readonly number[];
  /** The classes of two or more samples that are all equal. */
  withoutVariance: readonly number[];
}

export function mixtureWarnings(description: Fit): string[] {
  const { counts, featureDim, covariance, withoutVariance } = description;
  const classes = (wanted: (count: number, label: number) => boolean): number[] =>
    counts.flatMap((count, label) => (wanted(count, label) ? [label] : []));
  const warnings: string[] = [];
  const absent = classes((count) => count === 0);
  if (absent.length > 0) warnings.push(`no samples of class ${listed(absent)}: its log density is -Infinity`);
  if (covariance === "tied") return [...warnings, ...tiedWarnings(description, counts.length - absent.length)];

  const equal = new Set(withoutVariance);
  const few = classes((count, label) => count > 0 && count < (covariance === "full" ? featureDim + 1 : 2) && !equal.has(label));
  if (few.length > 0) {
    const counted = listed(few.map((label) => `${label} (${counts[label]})`));
    warnings.push(
      covariance === "full"
        ? `no more samples than the ${featureDim} dimensions in class ${counted}: its covariance is singular, and jitter decides; ` +
            `covariance "ledoit-wolf", "oas" or "tied" suits better`
        : `a single sample in class ${counted}: the pooled variance stands in for its own`,
    );
  }
  if (equal.size > 0) {
    warnings.push(`all samples of class ${listed(withoutVariance)} are equal: it has no variance, and jitter alone decides its density`);
  }
  const singular = classes((count, label) => count > 1 && !equal.has(label) && isSingular(description, count));
  if (singular.length > 0) {
    const counted = listed(singular.map((label) => `${label} (${counts[label]})`));
    warnings.push(`too few samples for covariance "${covariance}" in class ${counted}: it is singular, and jitter decides`);
  }
  return [...warnings, ...jitterWarnings(description, new Set([...few, ...equal, ...singular]))];
}

/**
 * Whether an estimator that works with fewer samples than dimensions has too few even so. Two samples lie alike on both sides of their mean, which
 * Ledoit and Wolf's shrinkage takes for certainty; and `rank` axes through all samples leave no variance for the other directions.
 */
function isSingular({ covariance, rank, featureDim }: Fit, count: number): boolean {
  if (covariance === "ledoit-wolf") return count === 2 && featureDim > 1;
  return covariance === "low-rank" && count - 1 <= rank;
}

function tiedWarnings({ counts, featureDim, jitter, jitterRule, withoutVariance }: Fit, present: number): string[] {
  const warnings: string[] = [];
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total - present < featureDim) {
    warnings.push(`${total} samples are too few for a tied covariance of ${featureDim} dimensions: it is singular, and jitter decides`);
  } else if (typeof jitterRule === "string" && greatest(jitter) > 0) {
    warnings.push(`the tied covariance is not safely positive definite: ${added(greatest(jitter))}`);
  }
  if (withoutVariance.length > 0) {
    warnings.push(`all samples of class ${listed(withoutVariance)} are equal: its density rests on the variance of the other classes`);
  }
  return warnings;
}

/** Warnings of jitter in classes other than those `named` already. A number that the caller gave needs no warning. */
function jitterWarnings({ counts, jitter, jitterRule }: Fit, named: ReadonlySet<number>): string[] {
  if (typeof jitterRule === "number" || greatest(jitter) === 0) return [];
  if (jitterRule !== "relative") {
    return [`the covariance of at least one class is not safely positive definite: of all classes alike, ${added(greatest(jitter))}`];
  }
  const others = counts.flatMap((_, label) => ((jitter[label] as number) > 0 && !named.has(label) ? [label] : []));
  if (others.length === 0) return [];
  const most = others.reduce((largest, label) => Math.max(largest, jitter[label] as number), 0);
  return [`the covariance of class ${listed(others)} is not safely positive definite: ${added(most, others.length > 1)}`];
}

function greatest(values: readonly number[]): number {
  return values.reduce((largest, value) => Math.max(largest, value), 0);
}

/** What was added, and its most common cause. */
function added(jitter: number, upTo = false): string {
  const amount = `${upTo ? "up to " : ""}${jitter.toPrecision(3)}`;
  return `${amount} was added to the diagonal and decides the density off the samples' span, as where a feature is constant or repeats others`;
}
