// The scores of logits alone: maximum softmax probability, largest logit, negative entropy, free energy. Nothing is fitted.

import { finite, optionalSignal, optionsObject } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { energy, maxLogit, softmaxConfidence, softmaxEntropy } from "../metrics/logit-scores";
import type { NumberMatrix } from "../metrics/scores";
import { scoreRows } from "./rows";
import { Liveness, readOutputs, type ModelOutputs, type Score, type ScoreCallOptions, type ScoreState } from "./score";
import { damaged } from "./stored";

export type LogitScoreName = "max-softmax" | "max-logit" | "entropy" | "energy";

export interface LogitScoreOptions {
  /** Divides the logits; default 1. The largest logit takes none: it would order the same. */
  temperature?: number;
  signal?: AbortSignal;
}

const formulas: Record<LogitScoreName, (logits: NumberMatrix, temperature: number) => Float64Array> = {
  "max-softmax": (logits, temperature) => softmaxConfidence(logits, { temperature }),
  "max-logit": (logits) => maxLogit(logits),
  entropy: (logits, temperature) => softmaxEntropy(logits, { temperature }).map((value) => -value),
  energy: (logits, temperature) => energy(logits, { temperature }),
};

/** @internal */
export function logitOptionKeys(name: LogitScoreName): readonly (keyof LogitScoreOptions)[] {
  return name === "max-logit" ? ["signal"] : ["temperature", "signal"];
}

/**
 * - `"max-softmax"`: max_c softmax(l / T)_c, Hendrycks and Gimpel 2017
 * - `"max-logit"`: max_c l_c, Hendrycks et al. 2022
 * - `"entropy"`: Σ_c p_c ln p_c with p = softmax(l / T), the negative entropy
 * - `"energy"`: T·logsumexp(l / T), the negative free energy, Liu et al. 2020
 */
export class LogitScore implements Score {
  readonly needs = ["logits"] as const;
  readonly warnings: readonly string[] = [];
  readonly #life = new Liveness();

  private constructor(
    readonly name: LogitScoreName,
    readonly temperature: number,
  ) {}

  /** @internal */
  static create(name: LogitScoreName, options: LogitScoreOptions = {}): LogitScore {
    const given = optionsObject(options, "options", logitOptionKeys(name));
    optionalSignal(given.signal, "signal");
    const temperature = finite(given.temperature ?? 1, "temperature");
    if (temperature <= 0) throw new LibtorchOodError("ERR_RANGE", `temperature: expected more than 0, found ${temperature}`);
    return new LogitScore(name, temperature);
  }

  /** @internal */
  static restore(name: LogitScoreName, { description }: ScoreState, where: string): LogitScore {
    const { temperature } = description;
    if (typeof temperature !== "number" || !(temperature > 0) || temperature === Infinity) {
      damaged(where, "temperature", "a positive number", temperature);
    }
    return new LogitScore(name, temperature);
  }

  async score(outputs: ModelOutputs, options: ScoreCallOptions = {}): Promise<Float64Array> {
    return readOutputs(this, outputs, options, async ({ logits }, signal) => {
      this.#life.require(this.name);
      return scoreRows(logits, "logits", signal, (piece) => formulas[this.name](piece, this.temperature));
    });
  }

  async state(): Promise<ScoreState> {
    this.#life.require(this.name);
    return Promise.resolve({ description: { temperature: this.temperature }, tensors: [] });
  }

  dispose(): void {
    this.#life.end();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
