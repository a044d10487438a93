// Scores of single inputs from their logits: softmax confidence, entropy, energy and the largest logit, all in float64.

import { finite, optionsObject } from "../checks";
import { LibtorchOodError } from "../errors";
import { finiteMatrix, type NumberMatrix } from "./scores";

export interface LogitScoreOptions {
  /** Divides the logits; default 1. */
  temperature?: number;
}

/**
 * Probability of the most probable class (Hendrycks and Gimpel 2017), per row. Higher means more in-distribution.
 *
 * @param logits [N, C]
 * @returns Float64Array [N], in [1/C, 1]
 * @throws ERR_SHAPE, ERR_NON_FINITE, ERR_DTYPE; ERR_RANGE for a temperature that is not positive
 */
export function softmaxConfidence(logits: NumberMatrix, options: LogitScoreOptions = {}): Float64Array {
  return perRow(logits, options, ({ total }) => 1 / total);
}

/**
 * Entropy of the softmax in nats, per row: 0 to ln C. Higher means *less* in-distribution; negate it where a score is wanted.
 *
 * @param logits [N, C]
 * @returns Float64Array [N]
 * @throws as {@link softmaxConfidence}
 */
export function softmaxEntropy(logits: NumberMatrix, options: LogitScoreOptions = {}): Float64Array {
  return perRow(logits, options, ({ total, weighted }) => Math.max(0, Math.log(total) - weighted / total));
}

/**
 * Negative free energy T * logsumexp(logits / T) (Liu et al. 2020), per row. Higher means more in-distribution.
 *
 * @param logits [N, C]
 * @returns Float64Array [N]
 * @throws as {@link softmaxConfidence}
 */
export function energy(logits: NumberMatrix, options: LogitScoreOptions = {}): Float64Array {
  return perRow(logits, options, ({ top, total, temperature }) => top + temperature * Math.log(total));
}

/**
 * The largest logit (Hendrycks et al. 2022), per row. Higher means more in-distribution.
 *
 * @param logits [N, C]
 * @returns Float64Array [N]
 * @throws ERR_SHAPE, ERR_NON_FINITE, ERR_DTYPE
 */
export function maxLogit(logits: NumberMatrix): Float64Array {
  return perRow(logits, {}, ({ top }) => top);
}

/**
 * Index of the largest logit per row, the lowest index where several are equal: the predicted class.
 *
 * @param logits [N, C]
 * @returns Int32Array [N]
 * @throws ERR_SHAPE, ERR_NON_FINITE, ERR_DTYPE
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

/** What the scores are made of: the largest logit, and sum e^u and sum u e^u over u = (logit - top) / temperature. */
interface RowSums {
  top: number;
  total: number;
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
    let top = -Infinity;
    for (let c = 0; c < columns; c++) top = Math.max(top, data[start + c] as number);
    let total = 0;
    let weighted = 0;
    for (let c = 0; c < columns; c++) {
      const below = ((data[start + c] as number) - top) / temperature;
      const weight = Math.exp(below);
      total += weight;
      if (weight > 0) weighted += below * weight;
    }
    scores[row] = score({ top, total, weighted, temperature });
  }
  return scores;
}
