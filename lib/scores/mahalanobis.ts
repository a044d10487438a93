// Mahalanobis distances under one covariance for all classes: Lee et al. 2018, and relative to a background, Ren et al. 2021.

import { listed, optionsObject } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { GaussianMixture } from "../statistics/gaussian-mixture";
import type { Labels } from "../core/labels";
import type { Tensor } from "../native/tensor";
import { fitOutputs, readOutputs, resolveSource, type ModelOutputs, type Score, type ScoreCallOptions } from "./score";
import type { ScoreState, SourceOptions, TrainingOutputs } from "./score";
import { damaged, storedObject, storedSource, withoutPrefix, withPrefix } from "./stored";

export interface MahalanobisOptions extends SourceOptions {
  /** Default: one more than the largest label. */
  numClasses?: number;
  /** `"cpu"` (default), `"cuda"` or `"cuda:N"`. */
  device?: string;
  signal?: AbortSignal;
}

const restKeys = ["numClasses", "device", "signal"] as const;
/** @internal */
export const mahalanobisOptionKeys = [...restKeys, "from"] as const;

/** Gaussians that share the covariance S = Σ (z − u_c)(z − u_c)ᵀ / N, over a mixture whose tied one is divided by N − C. */
class SharedCovariance {
  readonly #factor: number;

  constructor(readonly mixture: GaussianMixture) {
    const total = mixture.counts.reduce((sum, count) => sum + count, 0);
    this.#factor = total / Math.max(1, total - this.classesWithSamples);
  }

  static async fit(features: Tensor, labels: Labels, options: Omit<MahalanobisOptions, "from">): Promise<SharedCovariance> {
    return new SharedCovariance(await GaussianMixture.fit(features, labels, { ...options, covariance: "tied", prior: "none" }));
  }

  static async restore(state: ScoreState, device: string, where: string): Promise<SharedCovariance> {
    const { description, tensors } = state;
    const mixture = await GaussianMixture.restore(description, tensors, device, where);
    if (mixture.covariance !== "tied") damaged(where, "covariance", '"tied"', mixture.covariance);
    return new SharedCovariance(mixture);
  }

  get jitter(): number {
    return this.mixture.jitter.reduce((largest, jitter) => Math.max(largest, jitter), 0) / this.#factor;
  }

  /** min_c (z − u_c)ᵀ S⁻¹ (z − u_c) of each row. */
  async leastSquaredDistance(features: Tensor, signal: AbortSignal | undefined): Promise<Float64Array> {
    const distances = await this.mixture.leastSquaredDistance(features, { signal });
    return distances.map((distance, row) => {
      const scaled = distance * this.#factor;
      if (scaled < Infinity) return scaled;
      throw new LibtorchOodError(
        "ERR_RANGE",
        `features: expected rows whose squared distances are within float64, found row ${row} too far away`,
      );
    });
  }

  get classesWithSamples(): number {
    return this.mixture.counts.filter((count) => count > 0).length;
  }

  get warnings(): string[] {
    const { counts, featureDim, withoutVariance } = this.mixture;
    const warnings: string[] = [];
    const absent = counts.flatMap((count, c) => (count === 0 ? [c] : []));
    if (absent.length > 0) warnings.push(`no samples of class ${listed(absent)}: no distance to it is taken`);
    if (withoutVariance.length > 0) {
      warnings.push(`all samples of class ${listed(withoutVariance)} are equal: distances to it rest on the variance of the others`);
    }
    if (this.jitter > 0) {
      warnings.push(
        `the covariance of ${featureDim} dimensions is not safely positive definite: ${this.jitter} was added to its diagonal, ` +
          "which decides the distances",
      );
    }
    return warnings;
  }
}

/**
 * −min_c (z − u_c)ᵀ S⁻¹ (z − u_c), Lee et al. 2018, with class means u_c and S = Σ (z − u_c)(z − u_c)ᵀ / N as in their code and OpenOOD's;
 * theirs on other layers and on perturbed inputs is not part of it. Where S is not safely positive definite, the smallest 10^k·tr(S)/d that makes
 * it so is added to its diagonal; they take a pseudoinverse, to which a direction without variance does not count at all.
 */
export class Mahalanobis implements Score {
  readonly name = "mahalanobis";
  readonly needs: readonly (keyof ModelOutputs)[];
  readonly warnings: readonly string[];
  /** What was added to the diagonal of S. */
  readonly jitter: number;
  readonly #classes: SharedCovariance;

  private constructor(
    classes: SharedCovariance,
    readonly from: keyof ModelOutputs,
  ) {
    this.#classes = classes;
    this.needs = [from];
    this.jitter = classes.jitter;
    this.warnings = classes.warnings;
  }

  /** @internal */
  static async fit(training: TrainingOutputs, options: MahalanobisOptions = {}): Promise<Mahalanobis> {
    const { from, rest } = resolve(options);
    return fitOutputs("mahalanobis", training, [from, "labels"], async (given) => {
      return new Mahalanobis(await SharedCovariance.fit(given[from], given.labels, rest), from);
    });
  }

  /** @internal */
  static async restore({ description, tensors }: ScoreState, device: string, where: string): Promise<Mahalanobis> {
    const from = storedSource(description, where);
    const classes = { description: storedObject(description, "classes", where), tensors };
    return new Mahalanobis(await SharedCovariance.restore(classes, device, where), from);
  }

  async score(outputs: ModelOutputs, options: ScoreCallOptions = {}): Promise<Float64Array> {
    return readOutputs(this, outputs, options, async (given, signal) => {
      return (await this.#classes.leastSquaredDistance(given[this.from], signal)).map((distance) => -distance);
    });
  }

  async state(): Promise<ScoreState> {
    const { description, tensors } = await this.#classes.mixture.state();
    return { description: { from: this.from, classes: description }, tensors };
  }

  dispose(): void {
    this.#classes.mixture.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * (z − u)ᵀ S₀⁻¹ (z − u) − min_c (z − u_c)ᵀ S⁻¹ (z − u_c), Ren et al. 2021: the Mahalanobis score relative to a background, one Gaussian of all
 * training features with mean u and covariance S₀ = Σ (z − u)(z − u)ᵀ / N. Jitter as for {@link Mahalanobis}, each covariance for itself.
 */
export class RelativeMahalanobis implements Score {
  readonly name = "relative-mahalanobis";
  readonly needs: readonly (keyof ModelOutputs)[];
  readonly warnings: readonly string[];
  /** What was added to the diagonal of S. */
  readonly jitter: number;
  /** What was added to the diagonal of S₀. */
  readonly backgroundJitter: number;
  readonly #classes: SharedCovariance;
  readonly #background: SharedCovariance;

  private constructor(
    classes: SharedCovariance,
    background: SharedCovariance,
    readonly from: keyof ModelOutputs,
  ) {
    this.#classes = classes;
    this.#background = background;
    this.needs = [from];
    this.jitter = classes.jitter;
    this.backgroundJitter = background.jitter;
    const oneClass = "all samples are of one class: the score is 0 for every input, but for rounding";
    this.warnings = [
      ...classes.warnings,
      ...(this.classesWithSamples === 1 ? [oneClass] : []),
      ...background.warnings.map((warning) => `background: ${warning}`),
    ];
  }

  /** @internal */
  get classesWithSamples(): number {
    return this.#classes.classesWithSamples;
  }

  /** @internal */
  static async fit(training: TrainingOutputs, options: MahalanobisOptions = {}): Promise<RelativeMahalanobis> {
    const { from, rest } = resolve(options);
    return fitOutputs("relative-mahalanobis", training, [from, "labels"], async (given) => {
      const together = new Int32Array(given[from].shape[0] as number);
      const classes = await SharedCovariance.fit(given[from], given.labels, rest);
      try {
        const background = await SharedCovariance.fit(given[from], together, { ...rest, numClasses: 1 });
        return new RelativeMahalanobis(classes, background, from);
      } catch (error) {
        classes.mixture.dispose();
        throw error;
      }
    });
  }

  /** @internal */
  static async restore({ description, tensors }: ScoreState, device: string, where: string): Promise<RelativeMahalanobis> {
    const from = storedSource(description, where);
    const part = (key: string) => {
      const state = { description: storedObject(description, key, where), tensors: withoutPrefix(tensors, `${key}.`) };
      return SharedCovariance.restore(state, device, where);
    };
    const [classes, background] = [await part("classes"), await part("background")];
    const [own, other] = [classes.mixture.featureDim, background.mixture.featureDim];
    if (own !== other) damaged(where, "background.featureDim", String(own), other);
    return new RelativeMahalanobis(classes, background, from);
  }

  async score(outputs: ModelOutputs, options: ScoreCallOptions = {}): Promise<Float64Array> {
    return readOutputs(this, outputs, options, async (given, signal) => {
      const own = this.#classes.leastSquaredDistance(given[this.from], signal);
      const background = this.#background.leastSquaredDistance(given[this.from], signal);
      const [distances, apart] = await Promise.all([own, background]);
      return distances.map((distance, i) => (apart[i] as number) - distance);
    });
  }

  async state(): Promise<ScoreState> {
    const [classes, background] = [await this.#classes.mixture.state(), await this.#background.mixture.state()];
    return {
      description: { from: this.from, classes: classes.description, background: background.description },
      tensors: [...withPrefix(classes.tensors, "classes."), ...withPrefix(background.tensors, "background.")],
    };
  }

  dispose(): void {
    this.#classes.mixture.dispose();
    this.#background.mixture.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function resolve(options: MahalanobisOptions) {
  const { from, rest } = resolveSource(options);
  return { from, rest: optionsObject(rest, "options", restKeys) };
}
