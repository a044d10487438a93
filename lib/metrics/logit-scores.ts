// Scores of single inputs from their logits: softmax confidence, entropy, energy and the largest logit, all in float64.

import { finite, optionsObject } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { finiteMatrix, type NumberMatrix } from "./scores";

/** Options of the scores of logits. */
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
  return perRow(logits, options, ({ others }) => 1 / (1 + others));
}

/**
 * Entropy of the softmax in nats, per row: 0 to ln C. Higher means *less* in-distribution; negate it where a score is wanted.
 *
 * @param logits [N, C]
 * @returns Float64Array [N]
 * @throws as {@link softmaxConfidence}
 */
export function softmaxEntropy(logits: NumberMatrix, options: LogitScoreOptions = {}): Float64Array {
  return perRow(logits, options, ({ others, weighted }) => Math.log1p(others) + weighted / (1 + others));
}

/**
 * Negative free energy T * logsumexp(logits / T) (Liu et al. 2020), per row. Higher means more in-distribution.
 *
 * @param logits [N, C]
 * @returns Float64Array [N]
 * @throws as {@link softmaxConfidence}; ERR_RANGE where it is beyond float64
 */
export function energy(logits: NumberMatrix, options: LogitScoreOptions = {}): Float64Array {
  return perRow(logits, options, ({ top, others, temperature }) => {
    const found = top + temperature * Math.log1p(others);
    if (Number.isFinite(found)) return found;
    throw new LibtorchOodError("ERR_RANGE", `logits: the energy overflows where the largest is ${top}, at temperature ${temperature}`);
  });
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

/**
 * What the scores are made of: the largest logit; and of the others, with u = (top - logit) / temperature, the sums of e^-u and u e^-u. The
 * largest one's own e^0 is left out: beside it the others of a sure row have no digits.
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
