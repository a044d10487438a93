// The length of the features before normalisation. Nothing is fitted.

import { optionalSignal, optionsObject } from "../core/checks";
import { scoreRows } from "./rows";
import { Liveness, readOutputs, type ModelOutputs, type Score, type ScoreCallOptions, type ScoreState } from "./score";

export interface FeatureNormOptions {
  signal?: AbortSignal;
}

/** @internal */
export const featureNormOptionKeys = ["signal"] as const;

/**
 * ‖h‖₂ of the features as pooled: a network that was trained on normalised features gives unknown inputs short ones, which is what
 * T2FNorm (Regmi et al. 2023) rests on. Its own score, and OpenOOD's, is the maximum softmax probability of the last layer applied to h / τ
 * without normalisation; for that, give such logits to `"max-softmax"`.
 */
export class FeatureNorm implements Score {
  readonly name = "feature-norm";
  readonly needs = ["rawFeatures"] as const;
  readonly warnings: readonly string[] = [];
  readonly #life = new Liveness();

  private constructor() {}

  /** @internal */
  static create(options: FeatureNormOptions = {}): FeatureNorm {
    optionalSignal(optionsObject(options, "options", featureNormOptionKeys).signal, "signal");
    return new FeatureNorm();
  }

  async score(outputs: ModelOutputs, options: ScoreCallOptions = {}): Promise<Float64Array> {
    return readOutputs(this, outputs, options, async ({ rawFeatures }, signal) => {
      this.#life.require(this.name);
      return scoreRows(rawFeatures, "rawFeatures", signal, lengths);
    });
  }

  async state(): Promise<ScoreState> {
    this.#life.require(this.name);
    return Promise.resolve({ description: {}, tensors: [] });
  }

  dispose(): void {
    this.#life.end();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Divided by the largest entry first, so that no square overflows or vanishes. */
function lengths({ data, shape: [rows, columns] }: { data: Float64Array; shape: [number, number] }): Float64Array {
  const result = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    let largest = 0;
    for (let i = row * columns; i < (row + 1) * columns; i++) largest = Math.max(largest, Math.abs(data[i] as number));
    if (largest === 0) continue;
    let sum = 0;
    for (let i = row * columns; i < (row + 1) * columns; i++) sum += ((data[i] as number) / largest) ** 2;
    result[row] = largest * Math.sqrt(sum);
  }
  return result;
}
