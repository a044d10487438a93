// GaussianMixture: one Gaussian per class over the features, the density of Deep Deterministic Uncertainty.

import { describe, finite, integer, oneOf, optionalSignal, optionsObject, string } from "../core/checks";
import { ClassStatistics, type Scatter } from "./class-statistics";
import { LibtorchOodError } from "../core/errors";
import { anything, check, either, list, number, object, oneOf as among, optional, whole, type Schema } from "../core/schema";
import type { Labels } from "../core/labels";
import { classesIn, labelsTensor } from "../native/labels-tensor";
import { mixtureWarnings } from "./mixture-warnings";
import { native, type NativeDensityOptions, type NativeGaussianMixture, type NativeNamedTensor } from "../native/surface";
import { callNative, runNative } from "../native/call";
import { presetOf, storedPresetRecord, withPreset, type PresetName, type PresetRecord } from "../protocols/preset";
import { corrupt, readStateFile, restoring, writeStateFile } from "../formats/state-file";
import { requireFiniteDensities } from "./stored-mixture";
import { Tensor, toTensor, type ArrayWithShape } from "../native/tensor";

/**
 * How each covariance Σ_c is estimated.
 * - `"full"`: of the class's own samples, divisor n_c − 1 (DDU). Needs more samples per class than dimensions.
 * - `"tied"`: one for all classes, pooled within classes, divisor N − C.
 * - `"diagonal"`: variances only, divisor n_c − 1.
 * - `"ledoit-wolf"`, `"oas"`: of the class, divisor n_c, shrunk towards (tr Σ/d)·I by the amount of Ledoit and Wolf (2004) or Chen et al.
 *   (2010), as scikit-learn computes them. They work with fewer samples than dimensions.
 * - `"low-rank"`: of the class, divisor n_c − 1, its `rank` leading principal axes kept and every other direction given the mean of
 *   their variances (probabilistic PCA, Tipping and Bishop 1999).
 */
export type Covariance = "full" | "tied" | "diagonal" | "ledoit-wolf" | "oas" | "low-rank";

/** q(c): `"empirical"` n_c/N, `"uniform"` 1/C over the classes with samples, `"none"` no such term (the DDU code). */
export type Prior = "empirical" | "uniform" | "none";

/**
 * jitter·I is added to a covariance that is not safely positive definite.
 * - `"relative"`: 0 where that is safe, else the smallest 10^k·tr(Σ)/d that makes it so, each class for itself. Safe is min L_ii² ≥ d·eps·max L_ii²
 *   (L the Cholesky factor), and for each feature a variance given the others, 1/(Σ⁻¹)_ii, of at least 1000·d·eps of its own, Σ_ii. It scales with the features: an absolute jitter ruins L2-normalised ones, whose
 *   variances are about 1e-3.
 * - `"relative-shared"`: the largest of those, for all classes.
 * - `"ddu"`: the first of 0, 2.2e-308, 1e-308, 1e-307 … 0.1 for which every class has a Cholesky factor, as the DDU code has it. Near
 *   singularity that choice is rounding noise.
 * - a number: that value for every class.
 */
export type Jitter = "relative" | "relative-shared" | "ddu" | number;

/** Options of {@link GaussianMixture.fromStatistics}. */
export interface GaussianMixtureOptions {
  /** Gives covariance, prior and jitter as a publication has them; those that are given beside it go first. */
  preset?: PresetName;
  /** Default `"full"`. */
  covariance?: Covariance;
  /** Default `"empirical"`: the mixture density of the method. The DDU code leaves the prior out; that is `"none"`. */
  prior?: Prior;
  /** Default `"relative"`. */
  jitter?: Jitter;
  /** Of covariance `"low-rank"`, which needs it: 1 to d − 1. */
  rank?: number;
  /** Aborts the fit, which then throws ERR_ABORTED. */
  signal?: AbortSignal;
}

/** Options of {@link GaussianMixture.fit}. */
export interface GaussianMixtureFitOptions extends GaussianMixtureOptions {
  /** Default: one more than the largest label. */
  numClasses?: number;
  /** `"cpu"` (default), `"cuda"` or `"cuda:N"`. */
  device?: string;
}

const format = "libtorch-ood/gaussian-mixture";
/** @internal */
export const covariances = ["full", "tied", "diagonal", "ledoit-wolf", "oas", "low-rank"] as const;
/** @internal */
export const priors = ["empirical", "uniform", "none"] as const;
/** @internal Jitter may be a number as well. */
export const jitterRules = ["relative", "relative-shared", "ddu"] as const;
const optionKeys = ["preset", "covariance", "prior", "jitter", "rank", "signal"] as const;
const fitOptionKeys = [...optionKeys, "numClasses", "device"] as const;
const scatterFor: Record<Covariance, Scatter> = {
  full: "full",
  tied: "pooled",
  diagonal: "diagonal",
  "ledoit-wolf": "full",
  oas: "full",
  "low-rank": "full",
};

/** What was asked for, checked and with defaults. */
interface Rules {
  covariance: Covariance;
  prior: Prior;
  jitterRule: Jitter;
  rank: number;
  preset: PresetRecord | undefined;
}

/** What a file says of a mixture. */
const storedMixture = object({
  numClasses: whole(1, 1 << 24),
  featureDim: whole(1, 1 << 20),
  covariance: among(covariances),
  prior: among(priors),
  jitterRule: either(among(jitterRules), number()) as Schema<Jitter>,
  rank: whole(),
  preset: anything,
  withoutVariance: optional(list(whole())),
});

interface Description extends Rules {
  numClasses: number;
  featureDim: number;
  counts: number[];
  jitter: number[];
  shrinkage: number[];
  withoutVariance: number[];
}

/**
 * Gaussian class densities N(z; u_c, Σ_c) and their mixture log q(z) = logsumexp_c [log N(z; u_c, Σ_c) + log q(c)] (Mukhoti et al. 2021), all
 * in float64. Higher means more in-distribution. Made by {@link GaussianMixture.fit}, {@link GaussianMixture.fromStatistics} or
 * {@link GaussianMixture.load}.
 *
 * @example
 * const gmm = await GaussianMixture.fit(features, labels, { covariance: "ledoit-wolf" });
 * const scores = await gmm.logDensity(testFeatures);
 */
export class GaussianMixture {
  /** C: the number of classes, those without samples included. */
  readonly numClasses: number;
  /** d: the number of columns of the features. */
  readonly featureDim: number;
  /** Where densities are computed. */
  readonly device: string;
  /** How the covariances were estimated. */
  readonly covariance: Covariance;
  /** What the probability of each class is. */
  readonly prior: Prior;
  /** The rule that was asked for; {@link jitter} is what it came to. */
  readonly jitterRule: Jitter;
  /** Of covariance `"low-rank"`; 0 for the others. */
  readonly rank: number;
  /** The preset that covariance, prior and jitter came from; undefined without one. */
  readonly preset: PresetRecord | undefined;
  /** Samples per class that it was fitted to. */
  readonly counts: readonly number[];
  /** Per class: what was added to the diagonal of its covariance. */
  readonly jitter: readonly number[];
  /** Per class: the shrinkage, 0 to 1; all 0 for estimators that do not shrink. */
  readonly shrinkage: readonly number[];
  /**
   * What a user should know about the fit: classes without samples, without variance, or with no more samples than dimensions, and any jitter
   * that was not asked for as a number.
   */
  readonly warnings: readonly string[];
  /** @internal The classes whose samples are all equal, two or more. */
  readonly withoutVariance: readonly number[];
  readonly #native: NativeGaussianMixture;

  private constructor(handle: NativeGaussianMixture, device: string, description: Description) {
    this.#native = handle;
    this.device = device;
    this.numClasses = description.numClasses;
    this.featureDim = description.featureDim;
    this.covariance = description.covariance;
    this.prior = description.prior;
    this.jitterRule = description.jitterRule;
    this.rank = description.rank;
    this.preset = description.preset;
    this.counts = description.counts;
    this.jitter = description.jitter;
    this.shrinkage = description.shrinkage;
    this.withoutVariance = description.withoutVariance;
    this.warnings = mixtureWarnings(description);
  }

  /**
   * Fits to features held in memory.
   *
   * @param features [N, d], float32 or float64: the un-augmented training features
   * @param labels [N]
   * @throws ERR_NON_FINITE, ERR_SHAPE, ERR_DTYPE, ERR_OPTION, ERR_ABORTED; ERR_RANGE for a label outside 0 to numClasses − 1, one of 65,536 or
   *   more where `numClasses` is not given, and for features so large or small that their variances are beyond float64;
   *   ERR_NOT_POSITIVE_DEFINITE where there is no variance at all, or the jitter that was asked for is too small
   */
  static async fit(features: Tensor | ArrayWithShape, labels: Labels, options: GaussianMixtureFitOptions = {}): Promise<GaussianMixture> {
    const { numClasses, device, ...rest } = optionsObject(options, "options", fitOptionKeys);
    const { signal, ...rules } = resolve(rest);
    const x = toTensor(features, "features");
    const y = labelsTensor(labels, "labels");
    const classes = numClasses === undefined ? classesIn(y, "labels") : integer(numClasses, "numClasses", 1, 1 << 24);
    const where = string(device ?? "cpu", "device");
    const handle = callNative(() => new (native().GaussianMixture)(where));
    const asked = nativeOptions(rules);
    const [features2d, labels1d] = [Tensor.handle(x, "features"), Tensor.handle(y, "labels")];
    const featureDim = x.shape[1] as number; // the caller may dispose of the features meanwhile
    const found = await runNative(signal, (control) => handle.fitFeatures(control, features2d, labels1d, classes, asked));
    return new GaussianMixture(handle, where, describeFit(found, classes, featureDim, rules));
  }

  /**
   * Fits to statistics, on their device. `"tied"` needs scatter `"full"` or `"pooled"`, `"diagonal"` needs `"full"` or `"diagonal"`, the
   * others need `"full"`.
   *
   * @throws as {@link fit}; ERR_OPTION where the scatter does not serve
   */
  static async fromStatistics(statistics: ClassStatistics, options: GaussianMixtureOptions = {}): Promise<GaussianMixture> {
    const { signal, ...rules } = resolve(optionsObject(options, "options", optionKeys));
    const { covariance } = rules;
    return ClassStatistics.read(statistics, "statistics", async (source) => {
      const { numClasses, featureDim, scatter, device } = statistics;
      if (scatter !== "full" && scatter !== scatterFor[covariance]) {
        const expected = `expected scatter "${scatterFor[covariance]}" for covariance "${covariance}"`;
        throw new LibtorchOodError("ERR_OPTION", `statistics: ${expected}, found "${scatter}"`);
      }
      const handle = callNative(() => new (native().GaussianMixture)(device));
      const asked = nativeOptions(rules);
      const found = await runNative(signal, (control) => handle.fit(control, source, asked));
      return new GaussianMixture(handle, device, describeFit(found, numClasses, featureDim, rules));
    });
  }

  /**
   * The mixture log density of each row in nats, Float64Array [N]: the score of DDU, up to the prior. Under collapse it reaches −1e14 and less; keep
   * it in float64.
   *
   * @param features [N, d]
   * @throws ERR_NON_FINITE, ERR_SHAPE, ERR_DTYPE, ERR_DISPOSED, ERR_ABORTED; ERR_RANGE naming a row whose squared distances from the class means
   *   are beyond float64
   */
  async logDensity(features: Tensor | ArrayWithShape, options: { signal?: AbortSignal } = {}): Promise<Float64Array> {
    return (await this.#evaluate(features, "logDensity", options)).toTypedArray() as Float64Array;
  }

  /** log N(z; u_c, Σ_c) without prior, float64 [N, C]; −Infinity for a class without samples. Throws as {@link logDensity}. */
  async classLogDensities(features: Tensor | ArrayWithShape, options: { signal?: AbortSignal } = {}): Promise<Tensor> {
    return new Tensor(await this.#evaluate(features, "classLogDensities", options));
  }

  /** The posterior q(c | z), float64 [N, C]; rows sum to 1. With prior `"none"` every class counts alike. Throws as {@link logDensity}. */
  async responsibilities(features: Tensor | ArrayWithShape, options: { signal?: AbortSignal } = {}): Promise<Tensor> {
    return new Tensor(await this.#evaluate(features, "responsibilities", options));
  }

  /** The class with the highest posterior, Int32Array [N]. Throws as {@link logDensity}. */
  async predict(features: Tensor | ArrayWithShape, options: { signal?: AbortSignal } = {}): Promise<Int32Array> {
    return (await this.#evaluate(features, "predict", options)).toTypedArray() as Int32Array;
  }

  /**
   * Mean [d] and covariance [d, d] of a class as they are used, shrinkage and jitter included, float64.
   *
   * @throws ERR_RANGE for a class that is not there or had no samples, ERR_DISPOSED
   */
  async parameters(label: number): Promise<{
    /** Shape `[d]`. */
    mean: Tensor;
    /** Shape `[d, d]`. */
    covariance: Tensor;
  }> {
    integer(label, "label", 0, this.numClasses - 1);
    const found = await runNative(undefined, (control) => this.#native.parameters(control, label));
    const [mean, covariance] = ["mean", "covariance"].map((name) => new Tensor(named(found, name))) as [Tensor, Tensor];
    return { mean, covariance };
  }

  /** Writes everything to a .safetensors file, Cholesky factors as packed triangles. @throws ERR_IO, ERR_DISPOSED */
  async save(path: string): Promise<void> {
    const { description, tensors } = await this.state();
    await writeStateFile(path, format, description, tensors);
  }

  /** Reads what {@link save} wrote; densities are the same but for rounding in the last bit. @throws ERR_CORRUPT_FILE, ERR_IO */
  static async load(path: string, options: { device?: string } = {}): Promise<GaussianMixture> {
    const device = string(optionsObject(options, "options", ["device"]).device ?? "cpu", "device");
    const { description, state } = await readStateFile(path, format);
    return GaussianMixture.restore(description, state, device, path);
  }

  /** @internal What a file holds of it: a description that survives JSON, and arrays. */
  async state(): Promise<{ description: Record<string, unknown>; tensors: NativeNamedTensor[] }> {
    const tensors = await runNative(undefined, (control) => this.#native.state(control));
    const { numClasses, featureDim, covariance, prior, jitterRule, rank, preset, withoutVariance } = this;
    return { description: { numClasses, featureDim, covariance, prior, jitterRule, rank, preset, withoutVariance }, tensors };
  }

  /** @internal From what {@link state} gave; `where` names its source in errors. */
  static async restore(
    description: Record<string, unknown>,
    state: readonly NativeNamedTensor[],
    device: string,
    where: string,
  ): Promise<GaussianMixture> {
    const stored = check(storedMixture, description, (place, expected, found) => corrupt(where, place, expected, found));
    const { numClasses, featureDim, rank, withoutVariance = [] } = stored;
    if (rank > featureDim) corrupt(where, "rank", `0 to ${featureDim}`, rank);
    if (withoutVariance.some((label) => label >= numClasses)) corrupt(where, "withoutVariance", "a list of classes", withoutVariance);
    const kept = { ...stored, withoutVariance, preset: storedPresetRecord(stored.preset) };
    const handle = callNative(() => new (native().GaussianMixture)(device));
    const rules = nativeOptions(kept);
    await restoring(where, () =>
      runNative(undefined, (control) => handle.loadState(control, kept.numClasses, kept.featureDim, rules, state)),
    );
    const [counts, jitter, shrinkage] = ["count", "jitter", "shrinkage"].map((name) => numbers(state, name)) as [
      number[],
      number[],
      number[],
    ];
    const negative = counts.find((count) => count < 0);
    if (negative !== undefined || counts.every((count) => count === 0)) corrupt(where, "count", "at least 0, and not all 0", negative ?? 0);
    await requireFiniteDensities(state, where);
    return new GaussianMixture(handle, device, { ...kept, counts, jitter, shrinkage });
  }

  /** @internal min_c (z − u_c)ᵀ Σ_c⁻¹ (z − u_c) of each row, Float64Array [N]. Throws as {@link logDensity}. */
  async leastSquaredDistance(features: Tensor | ArrayWithShape, options: { signal?: AbortSignal } = {}): Promise<Float64Array> {
    return (await this.#evaluate(features, "leastSquaredDistance", options)).toTypedArray() as Float64Array;
  }

  /** Gives the memory back now. Idempotent; later use throws ERR_DISPOSED. */
  dispose(): void {
    this.#native.dispose();
  }

  /** Calls {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  async #evaluate(
    features: Tensor | ArrayWithShape,
    quantity: Parameters<NativeGaussianMixture["evaluate"]>[2],
    options: { signal?: AbortSignal },
  ): ReturnType<NativeGaussianMixture["evaluate"]> {
    const signal = optionalSignal(optionsObject(options, "options", ["signal"]).signal, "signal");
    const x = Tensor.handle(toTensor(features, "features"), "features");
    return runNative(signal, (control) => this.#native.evaluate(control, x, quantity));
  }
}

function resolve(given: GaussianMixtureOptions): Rules & { signal: AbortSignal | undefined } {
  const { preset: name, ...stated } = given;
  const preset = presetOf(name);
  const { options, record } = withPreset<GaussianMixtureOptions>(preset, preset?.mixture, stated);
  const { covariance = "full", prior = "empirical", jitter = "relative", rank, signal } = options;
  oneOf(covariance, "covariance", covariances);
  oneOf(prior, "prior", priors);
  if (typeof jitter === "number") finite(jitter, "jitter", 0);
  else oneOf(jitter, "jitter", jitterRules);
  if ((covariance === "low-rank") !== (rank !== undefined)) {
    throw new LibtorchOodError("ERR_OPTION", `rank: expected with covariance "low-rank" and with no other, found ${describe(rank)}`);
  }
  if (rank !== undefined) integer(rank, "rank", 1);
  return { covariance, prior, jitterRule: jitter, rank: rank ?? 0, preset: record, signal: optionalSignal(signal, "signal") };
}

function describeFit(found: readonly NativeNamedTensor[], numClasses: number, featureDim: number, rules: Rules): Description {
  return {
    numClasses,
    featureDim,
    ...rules,
    counts: numbers(found, "count"),
    jitter: numbers(found, "jitter"),
    shrinkage: numbers(found, "shrinkage"),
    withoutVariance: numbers(found, "withoutVariance"),
  };
}

function nativeOptions({ covariance, prior, jitterRule, rank }: Rules): NativeDensityOptions {
  const jitter = jitterRule === "relative" ? "per-class" : jitterRule === "relative-shared" ? "shared" : jitterRule;
  return { covariance, prior, jitter, rank };
}

function named(state: readonly NativeNamedTensor[], name: string) {
  const entry = state.find((candidate) => candidate.name === name);
  if (entry === undefined)
    throw new LibtorchOodError("ERR_CORRUPT_FILE", `${name}: not among ${describe(state.map((s) => s.name).join(", "))}`);
  return entry.tensor;
}

function numbers(state: readonly NativeNamedTensor[], name: string): number[] {
  return Array.from(named(state, name).toTypedArray() as Float64Array | BigInt64Array, Number);
}
