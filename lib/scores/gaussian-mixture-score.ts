// The log density of a Gaussian mixture as a score: Deep Deterministic Uncertainty, and the method of this library.

import { fitOptionKeys, GaussianMixture, type GaussianMixtureFitOptions } from "../statistics/gaussian-mixture";
import { fitOutputs, readOutputs, resolveSource, type ModelOutputs, type Score, type ScoreCallOptions } from "./score";
import type { ScoreState, SourceOptions, TrainingOutputs } from "./score";
import { storedObject, storedSource } from "./stored";

export interface GaussianMixtureScoreOptions extends GaussianMixtureFitOptions, SourceOptions {}

/** @internal */
export const gaussianMixtureOptionKeys = [...fitOptionKeys, "from"] as const;

/** log q(z) = logsumexp_c [log N(z; u_c, Σ_c) + log q(c)], Mukhoti et al. 2021: {@link GaussianMixture.logDensity}. */
export class GaussianMixtureScore implements Score {
  readonly name = "gaussian-mixture";
  readonly needs: readonly (keyof ModelOutputs)[];
  readonly warnings: readonly string[];

  private constructor(
    /** What was fitted; it is disposed with the score. */
    readonly mixture: GaussianMixture,
    readonly from: keyof ModelOutputs,
  ) {
    this.needs = [from];
    this.warnings = mixture.warnings;
  }

  /** @internal */
  static async fit(training: TrainingOutputs, options: GaussianMixtureScoreOptions = {}): Promise<GaussianMixtureScore> {
    const { from, rest } = resolveSource(options);
    return fitOutputs("gaussian-mixture", training, [from, "labels"], async (given) => {
      return new GaussianMixtureScore(await GaussianMixture.fit(given[from], given.labels, rest), from);
    });
  }

  /** @internal */
  static async restore({ description, tensors }: ScoreState, device: string, where: string): Promise<GaussianMixtureScore> {
    const from = storedSource(description, where);
    const mixture = storedObject(description, "mixture", where);
    return new GaussianMixtureScore(await GaussianMixture.restore(mixture, tensors, device, where), from);
  }

  async score(outputs: ModelOutputs, options: ScoreCallOptions = {}): Promise<Float64Array> {
    return readOutputs(this, outputs, options, (given, signal) => this.mixture.logDensity(given[this.from], { signal }));
  }

  async state(): Promise<ScoreState> {
    const { description, tensors } = await this.mixture.state();
    return { description: { from: this.from, mixture: description }, tensors };
  }

  dispose(): void {
    this.mixture.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
