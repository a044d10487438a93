// How a report writes numbers: three decimals, as the paper does, unless that would leave nothing of them.

import type { Spread } from "./networks";
import type { Printed } from "./tables";

/** Fixed decimals; two significant digits where a number is too small for them; a true minus sign. */
export function numberText(value: number, decimals = 3): string {
  if (!Number.isFinite(value)) return "undefined";
  const tooSmall = value !== 0 && Math.abs(value) < 0.5 * 10 ** -decimals;
  return (tooSmall ? value.toExponential(1) : value.toFixed(decimals)).replace(/-/g, "−");
}

/** "0.938 ± 0.010": the standard deviation where there is one. */
export function meanText({ mean, sd }: Pick<Spread, "mean"> & { readonly sd: number | undefined }, decimals = 3): string {
  return sd === undefined || Number.isNaN(sd) ? numberText(mean, decimals) : `${numberText(mean, decimals)} ± ${numberText(sd, decimals)}`;
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
