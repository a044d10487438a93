// The floats of 16 bits, float16 (IEEE 754 binary16) and bfloat16: their bit patterns as numbers, and numbers as the nearest bit patterns.

import { setImmediate as turn } from "node:timers/promises";
import { fail } from "../core/checks";
import { bytesOfArray } from "../core/dtype";
import { LibtorchOodError } from "../core/errors";

/** The dtypes of 16 bits that files hold floats in. */
export type HalfDtype = "float16" | "bfloat16";

/** Bits of the fraction, and exponent of the smallest normal number. */
const layouts = { float16: { fraction: 10, least: -14 }, bfloat16: { fraction: 7, least: -126 } } as const;

/** The number of an IEEE 754 binary16. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The number of every bit pattern, made when it is first asked for. */
const numbers: Partial<Record<HalfDtype, Float32Array>> = {};

/** The number of each of the 65,536 bit patterns. */
export function halfNumbers(dtype: HalfDtype): Float32Array {
  const patterns = { length: 1 << 16 };
  return (numbers[dtype] ??=
    dtype === "float16"
      ? Float32Array.from(patterns, (_, bits) => halfToNumber(bits))
      : new Float32Array(Uint32Array.from(patterns, (_, bits) => bits << 16).buffer));
}

/** The numbers of bit patterns, exact. */
export function halfValues(dtype: HalfDtype, bits: Uint16Array): Float32Array<ArrayBuffer> {
  const table = halfNumbers(dtype);
  return Float32Array.from(bits, (pattern) => table[pattern] as number);
}

/**
 * The bit patterns of the nearest numbers of 16 bits; of two that are equally near, of the one whose last bit is 0, as NumPy and PyTorch round.
 * Infinity stays, and so does NaN.
 *
 * @param name - what messages call the numbers
 * @throws ERR_RANGE for a finite number whose nearest is infinite, naming the element
 */
export function halfBits(dtype: HalfDtype, values: Float32Array | Float64Array, name: string): Uint16Array<ArrayBuffer> {
  const { fraction, least } = layouts[dtype];
  const infinity = (2 ** (15 - fraction) - 1) * 2 ** fraction;
  // The spacing of the numbers about x is 2^(exponent − fraction); below the smallest normal number it stays the same.
  const exponents = Float64Array.from({ length: 1 << 11 }, (_, biased) => Math.max(biased - 1023, least));
  const perSpacing = exponents.map((exponent) => 2 ** (fraction - exponent));
  const number = new Float64Array(1);
  const words = new Uint32Array(number.buffer); // little-endian, as every platform of the library is
  const bits = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    number[0] = value;
    const high = words[1] as number;
    const sign = (high >>> 31) << 15;
    const magnitude = Math.abs(value);
    if (magnitude !== magnitude) {
      bits[i] = sign | infinity | (1 << (fraction - 1));
      continue;
    }
    const biased = (high >>> 20) & 0x7ff;
    // Adding and subtracting 2^52 rounds to a whole number, ties to even. A fraction that is rounded up to 2 carries into the exponent by itself.
    const units = magnitude * (perSpacing[biased] as number) + 2 ** 52 - 2 ** 52;
    const pattern = magnitude === Infinity ? infinity : ((exponents[biased] as number) - least) * (1 << fraction) + units;
    if (pattern >= infinity && magnitude !== Infinity) {
      throw new LibtorchOodError("ERR_RANGE", `${name}: expected numbers that ${dtype} holds, found ${value} as element ${i}`);
    }
    bits[i] = sign | pattern;
  }
  return bits;
}

/** Numbers that are rounded between turns of the event loop: a few milliseconds. */
const roundedPerTurn = 1 << 18;

/**
 * {@link halfBits} of many numbers, piece by piece. They must not change meanwhile.
 *
 * @throws as {@link halfBits}; ERR_SHAPE where their memory goes meanwhile
 */
export async function* halfPieces(dtype: HalfDtype, values: Float32Array | Float64Array, name: string): AsyncGenerator<Uint8Array> {
  const { length } = values;
  for (let start = 0; start < length; start += roundedPerTurn) {
    if (start > 0) await turn();
    if (values.length !== length) fail("ERR_SHAPE", name, `${length} numbers until they are written`, values);
    yield bytesOfArray(halfBits(dtype, values.subarray(start, start + roundedPerTurn), `${name}: numbers from element ${start} on`));
  }
}
