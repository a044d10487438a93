// Writes the numbers of a report: with three decimals, as the paper does, unless a number is too small for them.

import type { Spread } from "./networks";
import type { Printed } from "./tables";

/** Fixed decimals; two significant digits where a number is too small for them; a true minus sign. */
export function numberText(value: number, decimals = 3): string {
  if (!Number.isFinite(value)) return "undefined";
  const text = value !== 0 && leavesNothing(value, decimals) ? value.toExponential(1) : value.toFixed(decimals);
  return text.replace(/-/g, "−");
}

function leavesNothing(value: number, decimals: number): boolean {
  return Math.abs(value) < 0.5 * 10 ** -decimals;
}

/** The standard deviation to the places of its mean; undefined where there is none. */
export function sdText({ mean, sd }: Averaged, decimals = 3): string | undefined {
  if (sd === undefined || Number.isNaN(sd)) return undefined;
  return mean !== 0 && leavesNothing(mean, decimals) ? sd.toExponential(1).replace("-", "−") : sd.toFixed(decimals);
}

/** "0.938 ± 0.010", or the mean alone. */
export function meanText(averaged: Averaged, decimals = 3): string {
  const sd = sdText(averaged, decimals);
  return numberText(averaged.mean, decimals) + (sd === undefined ? "" : ` ± ${sd}`);
}

interface Averaged {
  readonly mean: number;
  readonly sd: number | undefined;
}

/** "0.924–0.961", or undefined where the paper does not print it. */
export function rangeText({ min, max }: Pick<Printed, "min" | "max">, decimals = 3): string | undefined {
  return min === undefined || max === undefined ? undefined : `${numberText(min, decimals)}–${numberText(max, decimals)}`;
}

/** Mean ± sd, and how many runs have no such number. */
export function spreadText(spread: Spread | undefined, decimals = 3): string {
  if (spread === undefined) return "undefined";
  return meanText(spread, decimals) + (spread.undefinedIn > 0 ? ` (undefined in ${spread.undefinedIn})` : "");
}
