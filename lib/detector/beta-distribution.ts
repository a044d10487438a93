// Quantiles of a Beta distribution with whole parameters; they tell how far the false-alarm rate of one calibration may be off.

/**
 * An interval of the share of later in-distribution inputs that a detector flags. Over draws of n calibration inputs that share is distributed as
 * Beta(k, n + 1 − k) with k = ⌊α(n + 1)⌋ if scores are continuous, and lower with ties (Vovk 2012, "Conditional validity of inductive conformal
 * predictors", proposition 2a).
 *
 * @param flagged - k, 1 to n + 1
 * @param count - n
 * @returns the quantiles of (1 − level)/2 and (1 + level)/2
 */
export function falseAlarmInterval(flagged: number, count: number, level = 0.95): { lower: number; upper: number } {
  if (flagged > count) return { lower: 1, upper: 1 };
  const quantile = (p: number) => betaQuantile(p, flagged, count + 1 - flagged);
  return { lower: quantile((1 - level) / 2), upper: quantile((1 + level) / 2) };
}

/** The x for which I_x(a, b) = p, by halving: to the last bits of x. */
export function betaQuantile(p: number, a: number, b: number): number {
  let low = 0;
  let high = 1;
  for (;;) {
    const middle = (low + high) / 2;
    if (middle <= low || middle >= high) return middle;
    if (regularizedBeta(middle, a, b) < p) low = middle;
    else high = middle;
  }
}

/** I_x(a, b), by its continued fraction (DLMF 8.17.22), from the side on which that converges fast. */
export function regularizedBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - regularizedBeta(1 - x, b, a);
  const front = Math.exp(a * Math.log(x) + b * Math.log1p(-x) + logGamma(a + b) - logGamma(a) - logGamma(b)) / a;
  return front / continuedFraction(x, a, b);
}

/** 1 + d_1/(1 + d_2/(1 + …)), by the method of Lentz as Thompson and Barnett (1986) have it. */
function continuedFraction(x: number, a: number, b: number): number {
  const tiny = 1e-300;
  let value = 1;
  let c = 1;
  let d = 0;
  for (let step = 1; step < 1e6; step++) {
    const m = step >> 1;
    const numerator =
      step % 2 === 0 ? (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m)) : (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / (1 + numerator * d || tiny);
    c = 1 + numerator / c || tiny;
    value *= c * d;
    if (Math.abs(c * d - 1) < 1e-15) break;
  }
  return value;
}

/** ln Γ(x) for x from 1 on: Stirling's series (DLMF 5.11.1) from 16 on, to 1e-16 of it, and down from there by Γ(x) = Γ(x + 1)/x. */
function logGamma(x: number): number {
  let product = 1;
  let y = x;
  for (; y < 16; y++) product *= y;
  const r = 1 / (y * y);
  const series = (1 / 12 - r * (1 / 360 - r * (1 / 1260 - r * (1 / 1680 - r * (1 / 1188 - (r * 691) / 360360))))) / y;
  return (y - 0.5) * Math.log(y) - y + 0.5 * Math.log(2 * Math.PI) + series - Math.log(product);
}
