// Brings numbers to units in which their squares neither overflow nor vanish.

/** Beyond such powers of two, squares of differences lose digits. */
const ordinaryExponent = 300;

/** x·2^exponent, exact unless the result overflows or is denormal. The power itself may be beyond float64. */
export function timesPower(x: number, exponent: number): number {
  const half = Math.trunc(exponent / 2);
  return x * 2 ** half * 2 ** (exponent - half);
}

/** The exponent k with 2^k near the largest magnitude, at most 1000 in magnitude; 0 for an ordinary magnitude. */
export function extremeExponent(largest: number): number {
  const exponent = largest === 0 ? 0 : Math.floor(Math.log2(largest));
  return Math.abs(exponent) > ordinaryExponent ? Math.max(-1000, Math.min(1000, exponent)) : 0;
}

/**
 * Divides by the power of two near the largest magnitude, in place, where that is not ordinary.
 *
 * @returns the exponent
 */
export function toOrdinary(values: Float64Array): number {
  let largest = 0;
  for (const x of values) largest = Math.max(largest, Math.abs(x));
  const exponent = extremeExponent(largest);
  if (exponent !== 0) for (let i = 0; i < values.length; i++) values[i] = timesPower(values[i] as number, -exponent);
  return exponent;
}
