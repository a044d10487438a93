// Scores of single inputs from their logits, in float64: softmax confidence, entropy, energy and the largest logit.

import { finite, optionsObject } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { finiteMatrix, type NumberMatrix } from "./scores";

/** Options of {@link softmaxConfidence}, {@link softmaxEntropy} and {@link energy}. */
export interface LogitScoreOptions {
  /** Temperature T, more than 0, that divides the logits. Default 1. */
  temperature?: number;
}

/**
 * Probability of the most probable class, for each row (Hendrycks and Gimpel 2017). Higher means more in-distribution.
 *
 * @param logits - [N, C]
 * @param options - temperature
 * @returns Float64Array [N], each in [1/C, 1]
 * @throws ERR_SHAPE where data and shape do not agree, or the matrix is empty; ERR_NON_FINITE for NaN or infinity; ERR_DTYPE where `logits` is no
 *   matrix of numbers; ERR_OPTION for an unknown option; ERR_RANGE for a temperature that is not more than 0
 * @example
 * import { metrics } from "libtorch-ood";
 *
 * metrics.softmaxConfidence({ data: [0, 0, 5, 0], shape: [2, 2] }); // [0.5, 0.993…]
 */
export function softmaxConfidence(logits: NumberMatrix, options: LogitScoreOptions = {}): Float64Array {
  return perRow(logits, options, ({ others }) => 1 / (1 + others));
}

/**
 * Entropy of the softmax, in nats, for each row. Higher means *less* in-distribution: negate it where a score is wanted.
 *
 * @param logits - [N, C]
 * @param options - temperature
 * @returns Float64Array [N], each from 0 to ln C
 * @throws as {@link softmaxConfidence}
 */
export function softmaxEntropy(logits: NumberMatrix, options: LogitScoreOptions = {}): Float64Array {
  return perRow(logits, options, ({ others, weighted }) => Math.log1p(others) + weighted / (1 + others));
}

/**
 * Negative free energy T · logsumexp(logits / T), for each row (Liu et al. 2020). Higher means more in-distribution.
 *
 * @param logits - [N, C]
 * @param options - temperature
 * @returns Float64Array [N]
 * @throws as {@link softmaxConfidence}; ERR_RANGE where an energy is beyond float64
 * @example
 * import { metrics } from "libtorch-ood";
 *
 * metrics.energy({ data: [0, 0, 5, 0], shape: [2, 2] }); // [0.693…, 5.006…]
 */
export function energy(logits: NumberMatrix, options: LogitScoreOptions = {}): Float64Array {
  return perRow(logits, options, ({ top, others, temperature }) => {
    const found = top + temperature * Math.log1p(others);
    if (Number.isFinite(found)) return found;
    throw new LibtorchOodError("ERR_RANGE", `logits: the energy overflows where the largest is ${top}, at temperature ${temperature}`);
  });
}

/**
 * The largest logit of each row (Hendrycks et al. 2022). Higher means more in-distribution.
 *
 * @param logits - [N, C]
 * @returns Float64Array [N]
 * @throws ERR_SHAPE where data and shape do not agree, or the matrix is empty; ERR_NON_FINITE for NaN or infinity; ERR_DTYPE where `logits` is no
 *   matrix of numbers
 */
export function maxLogit(logits: NumberMatrix): Float64Array {
  return perRow(logits, {}, ({ top }) => top);
}

/**
 * The predicted class of each row: the index of its largest logit, the lowest index where several are equal.
 *
 * @param logits - [N, C]
 * @returns Int32Array [N]
 * @throws as {@link maxLogit}
 */
export function predictedClass(logits: NumberMatrix): Int32Array {
  const { data, rows, columns } = finiteMatrix(logits, "logits");
  const classes = new Int32Array(rows);
  for (let row = 0; row < rows; row++) {
    let best = 0;
    for (let c = 1; c < columns; c++) {
      if ((data[row * columns + c] as number) > (data[row * columns + best] as number)) best = c;
    }
    classes[row] = best;
  }
  return classes;
}

/**
 * What the scores are made from: the largest logit; and over the others, with u = (top − logit) / temperature, the sums of e^−u and u·e^−u. The
 * largest logit's own e^0 is left out, because beside it the others of a confident row have no digits.
 */
interface RowSums {
  top: number;
  others: number;
  weighted: number;
  temperature: number;
}

function perRow(logits: NumberMatrix, options: LogitScoreOptions, score: (sums: RowSums) => number): Float64Array {
  const { temperature = 1 } = optionsObject(options, "options", ["temperature"]);
  finite(temperature, "temperature");
  if (temperature <= 0) throw new LibtorchOodError("ERR_RANGE", `temperature: expected more than 0, found ${temperature}`);
  const { data, rows, columns } = finiteMatrix(logits, "logits");
  const scores = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const start = row * columns;
    let best = start;
    for (let i = start + 1; i < start + columns; i++) if ((data[i] as number) > (data[best] as number)) best = i;
    const top = data[best] as number;
    let others = 0;
    let weighted = 0;
    for (let i = start; i < start + columns; i++) {
      if (i === best) continue;
      const logit = data[i] as number;
      const apart = top - logit;
      const below = apart < Infinity ? apart / temperature : top / temperature - logit / temperature;
      const weight = Math.exp(-below);
      if (weight === 0) continue;
      others += weight;
      weighted += below * weight;
    }
    scores[row] = score({ top, others, weighted, temperature });
  }
  return scores;
}
