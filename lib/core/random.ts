// Seeded random numbers, and draws with replacement for the bootstrap. The same seed gives the same numbers on every machine.

/** A generator of uint32: xoshiro128** (Blackman and Vigna 2018), its state filled from the seed by splitmix32. */
export function seededUint32(seed: number): () => number {
  let mix = seed >>> 0;
  const filled = (): number => mixed((mix = (mix + 0x9e3779b9) >>> 0));
  let a = filled();
  let b = filled();
  let c = filled();
  let d = filled();
  return () => {
    const five = Math.imul(b, 5);
    const result = Math.imul((five << 7) | (five >>> 25), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = (d << 11) | (d >>> 21);
    return result;
  };
}

/** One seed of several integers from 0 to 2^53 − 1, so that neighbouring ones give unrelated streams. */
export function seedOf(...numbers: readonly number[]): number {
  let seed = 0;
  for (const number of numbers) {
    for (const word of [number >>> 0, Math.floor(number / 2 ** 32)]) seed = mixed((Math.imul(seed, 31) + word + 0x9e3779b9) >>> 0);
  }
  return seed;
}

/** The finaliser of splitmix32, a permutation of the uint32. */
function mixed(value: number): number {
  let x = value;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/** Fills `sample` with draws from `values`, each equally likely. The bias of the scaled draw is below length / 2^53. */
export function resample(values: Float64Array, sample: Float64Array, random: () => number): void {
  for (let i = 0; i < sample.length; i++) {
    const fraction = ((random() >>> 5) * 0x4000000 + (random() >>> 6)) / 2 ** 53;
    sample[i] = values[Math.floor(fraction * values.length)] as number;
  }
}
