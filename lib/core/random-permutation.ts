// A seeded permutation. It is the same on every machine and in every later version, because recorded splits depend on it.

import { setImmediate as turn } from "node:timers/promises";
import { seededUint32 } from "./random";

/**
 * 0 … length − 1 in random order, each order equally likely: Fisher-Yates from the end. Each index is drawn from xoshiro128** (Blackman and Vigna
 * 2018) without bias, by multiplication and rejection (Lemire 2019, "Fast random integer generation in an interval").
 *
 * @param length - below 2^32
 * @param seed - integer, 0 to 2^32 − 1
 */
export function randomPermutation(length: number, seed: number): Uint32Array {
  return steps(length, seed, Infinity).next().value as Uint32Array;
}

/** Entries that are drawn before the event loop turns: about a millisecond. */
const entriesPerTurn = 1 << 15;

/** The same of many entries: the event loop turns meanwhile. */
export async function randomPermutationInTurns(length: number, seed: number): Promise<Uint32Array> {
  const permutation = steps(length, seed, entriesPerTurn);
  for (let step = permutation.next(); ; step = permutation.next()) {
    if (step.done === true) return step.value;
    await turn();
  }
}

function* steps(length: number, seed: number, entriesPerStep: number): Generator<void, Uint32Array, undefined> {
  const random = seededUint32(seed);
  const order = new Uint32Array(length);
  for (let index = 0; index < length; index++) {
    if (index % entriesPerStep === entriesPerStep - 1) yield;
    order[index] = index;
  }
  for (let last = length - 1; last > 0; last--) {
    if (last % entriesPerStep === 0) yield;
    const chosen = bounded(random, last + 1);
    const value = order[chosen] as number;
    order[chosen] = order[last] as number;
    order[last] = value;
  }
  return order;
}

/** An integer from 0 to bound − 1: the high word of draw · bound. Draws whose low word would make some values more likely are rejected. */
export function bounded(random: () => number, bound: number): number {
  const tooMany = 2 ** 32 % bound;
  for (;;) {
    const draw = random();
    const low = Math.imul(draw, bound) >>> 0;
    // draw · bound is rounded to 53 bits, which errs by less than 2^11: after division by 2^32 rounding gives the exact high word.
    if (low >= tooMany) return Math.round((draw * bound - low) / 2 ** 32);
  }
}
