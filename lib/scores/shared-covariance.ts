// Mahalanobis distances to Gaussian classes that share one covariance, for the Mahalanobis scores.

import { listed } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import type { Labels } from "../core/labels";
import type { ModelOutput } from "../core/model-outputs";
import type { FeaturesFile } from "../formats/features-file";
import type { Tensor } from "../native/tensor";
import { GaussianMixture } from "../statistics/gaussian-mixture";
import type { ScoreState } from "./score";
import { damaged } from "./stored";

interface SharedCovarianceOptions {
  numClasses: number | undefined;
  device: string;
  signal: AbortSignal | undefined;
}

/** Gaussians with the shared covariance S = Σ (z − u_c)(z − u_c)ᵀ / N, on top of a mixture whose tied covariance is divided by N − C. */
export class SharedCovariance {
  readonly #factor: number;

  private constructor(readonly mixture: GaussianMixture) {
    const total = mixture.counts.reduce((sum, count) => sum + count, 0);
    this.#factor = total / Math.max(1, total - this.classesWithSamples);
  }

  static async fit(features: Tensor, labels: Labels, options: SharedCovarianceOptions): Promise<SharedCovariance> {
    return new SharedCovariance(await GaussianMixture.fit(features, labels, { ...options, covariance: "tied", prior: "none" }));
  }

  /** As {@link fit}, in one pass over a file. @param labels - undefined: those in the file */
  static async fitFile(
    file: FeaturesFile,
    labels: Labels | undefined,
    options: SharedCovarianceOptions & { from: ModelOutput },
  ): Promise<SharedCovariance> {
    return new SharedCovariance(await GaussianMixture.fit(file, labels, { ...options, covariance: "tied", prior: "none" }));
  }

  /** Restores the Gaussians from a mixture's state. @throws ERR_CORRUPT_FILE where it is damaged or of another covariance */
  static async restore({ description, tensors }: ScoreState, device: string, where: string): Promise<SharedCovariance> {
    const mixture = await GaussianMixture.restore(description, tensors, device, where);
    if (mixture.covariance !== "tied") damaged(where, "covariance", '"tied"', mixture.covariance);
    return new SharedCovariance(mixture);
  }

  /** Number that was added to the diagonal of S. */
  get jitter(): number {
    return this.mixture.jitter.reduce((largest, jitter) => Math.max(largest, jitter), 0) / this.#factor;
  }

  /** Squared distance min_c (z − u_c)ᵀ S⁻¹ (z − u_c) of each row. @throws ERR_RANGE naming a row whose distance is beyond float64 */
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

  dispose(): void {
    this.mixture.dispose();
  }
}
