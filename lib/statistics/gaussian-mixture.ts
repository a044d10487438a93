// GaussianMixture: one Gaussian per labelled class over the features, the density of Deep Deterministic Uncertainty.

import { describe, fail, finite, integer, oneOf, optionalSignal, optionsObject, string } from "../core/checks";
import { ClassStatistics, type Scatter } from "./class-statistics";
import { LibtorchOodError } from "../core/errors";
import { anything, check, either, list, number, object, oneOf as among, optional, whole, type Schema } from "../core/schema";
import type { Labels } from "../core/labels";
import { modelOutputs, type ModelOutput } from "../core/model-outputs";
import { FeaturesFile } from "../formats/features-file";
import { classesIn, labelsTensor } from "../native/labels-tensor";
import { classesInFile } from "./labelled-pieces";
import { mixtureWarnings } from "./mixture-warnings";
import { native, type NativeDensityOptions, type NativeGaussianMixture, type NativeNamedTensor } from "../native/surface";
import { callNative, runNative } from "../native/call";
import { presetOf, storedPresetRecord, withPreset, type PresetName, type PresetRecord } from "../protocols/preset";
import { corrupt, readStateFile, restoring, writeStateFile } from "../formats/state-file";
import { requireFiniteDensities } from "./stored-mixture";
import { Tensor, toTensor, type ArrayWithShape } from "../native/tensor";

/**
 * How the covariance Σ_c of each class is estimated.
 *
 * - `"full"`: from the class's own samples, with the divisor n_c − 1, as in DDU. It needs more samples per class than dimensions.
 * - `"tied"`: one covariance for all classes, pooled within classes, with the divisor N − C.
 * - `"diagonal"`: variances only, with the divisor n_c − 1.
 * - `"ledoit-wolf"`, `"oas"`: from the class's samples with the divisor n_c, shrunk towards (tr Σ/d)·I by the amount of Ledoit and Wolf (2004) or
 *   Chen et al. (2010), as scikit-learn computes them. They work with fewer samples than dimensions.
 * - `"low-rank"`: from the class's samples with the divisor n_c − 1. Its `rank` leading principal axes are kept, and every other direction gets the
 *   mean of their variances (probabilistic PCA, Tipping and Bishop 1999).
 */
export type Covariance = "full" | "tied" | "diagonal" | "ledoit-wolf" | "oas" | "low-rank";

/**
 * The prior q(c) of each class.
 *
 * - `"empirical"`: n_c/N, the share of the samples.
 * - `"uniform"`: 1/C over the classes with samples.
 * - `"none"`: no such term, as in the DDU code.
 */
export type Prior = "empirical" | "uniform" | "none";

/**
 * How much of the identity, jitter·I, is added to a covariance that is not safely positive definite.
 *
 * - `"relative"`: 0 where the covariance is safe, else the smallest 10^k·tr(Σ)/d that makes it safe, for each class separately. It scales with the
 *   features. An absolute jitter ruins L2-normalised features, whose variances are about 1e-3.
 * - `"relative-shared"`: the largest of those jitters, for all classes.
 * - `"ddu"`: the first of 0, 2.2e-308, 1e-308, 1e-307 … 0.1 with which every class has a Cholesky factor, as in the DDU code. Near singularity that
 *   choice is rounding noise.
 * - a number: that value for every class.
 *
 * A covariance is safe where two conditions hold. First, min L_ii² ≥ d·eps·max L_ii², L being the Cholesky factor. Second, each feature's variance
 * given the others, 1/(Σ⁻¹)_ii, is at least 1000·d·eps of its own variance Σ_ii.
 */
export type Jitter = "relative" | "relative-shared" | "ddu" | number;

/** How a {@link GaussianMixture} is estimated. */
export interface GaussianMixtureOptions {
  /** The protocol of a publication, which gives covariance, prior and jitter. An option given beside it overrides the preset's. Default: none. */
  preset?: PresetName;
  /** How the covariances are estimated. Default `"full"`, as in DDU. */
  covariance?: Covariance;
  /**
   * The prior of the classes. Default `"empirical"`, which gives the mixture density of the method. The DDU code leaves the prior out, which is
   * `"none"`.
   */
  prior?: Prior;
  /** What is added to a covariance that is not safely positive definite. Default `"relative"`. */
  jitter?: Jitter;
  /** Number of principal axes of covariance `"low-rank"`, 1 to d − 1. That covariance requires it, and no other takes it. */
  rank?: number;
  /** Aborts the fit, which then rejects with ERR_ABORTED. */
  signal?: AbortSignal;
}

/** Options of {@link GaussianMixture.fit}. */
export interface GaussianMixtureFitOptions extends GaussianMixtureOptions {
  /** Number of classes, 1 to 2^24. Default: one more than the largest label. */
  numClasses?: number;
  /** Where to compute: `"cpu"` (default), `"cuda"` or `"cuda:N"`. */
  device?: string;
}

/** Options of {@link GaussianMixture.fit} for a file of features. */
export interface GaussianMixtureFileOptions extends GaussianMixtureFitOptions {
  /** The matrix of the file that the mixture is fitted to. Default `"features"`. */
  from?: ModelOutput;
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

/** The options, checked and with defaults. */
interface Rules {
  covariance: Covariance;
  prior: Prior;
  jitterRule: Jitter;
  rank: number;
  preset: PresetRecord | undefined;
}

/** The description of a mixture in a file. */
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
 * One Gaussian per labelled class. Each class density N(z; u_c, Σ_c) is estimated from the samples with that label. There is no expectation
 * maximisation: this is quadratic discriminant analysis in scikit-learn's words, and the density model of Deep Deterministic Uncertainty.
 *
 * The score of an input is its mixture log density log q(z) = logsumexp_c [log N(z; u_c, Σ_c) + log q(c)] (Mukhoti et al. 2021), in float64. Higher
 * means more in-distribution.
 *
 * {@link GaussianMixture.fit}, {@link GaussianMixture.fromStatistics} and {@link GaussianMixture.load} make one.
 *
 * @example
 * import { GaussianMixture } from "libtorch-ood";
 *
 * const features = { data: new Float32Array([0, 0, 1, 0, 0, 1, 9, 9, 8, 9, 9, 8]), shape: [6, 2] };
 * const mixture = await GaussianMixture.fit(features, [0, 0, 0, 1, 1, 1]);
 * const inputs = { data: new Float32Array([0, 1, 5, 5]), shape: [2, 2] };
 * await mixture.logDensity(inputs); // Float64Array [2]: the second input lies between the classes and scores lower
 * await mixture.predict(inputs); // Int32Array [2]: the most probable class of each
 */
export class GaussianMixture {
  /** C: the number of classes. */
  readonly numClasses: number;
  /** d: the number of columns of the features. */
  readonly featureDim: number;
  /** Where it computes: `"cpu"`, `"cuda"` or `"cuda:N"`. */
  readonly device: string;
  /** How the covariances were estimated. */
  readonly covariance: Covariance;
  /** The prior of the classes. */
  readonly prior: Prior;
  /** The jitter that was asked for. {@link jitter} says what was added. */
  readonly jitterRule: Jitter;
  /** Number of principal axes of covariance `"low-rank"`; 0 for the other covariances. */
  readonly rank: number;
  /** The preset that covariance, prior and jitter came from; undefined without one. */
  readonly preset: PresetRecord | undefined;
  /** Number of samples of each class in the fit, length C. */
  readonly counts: readonly number[];
  /** The value that was added to the diagonal of each class's covariance, length C. */
  readonly jitter: readonly number[];
  /** The shrinkage of each class, 0 to 1, length C. Estimators that do not shrink have zeros. */
  readonly shrinkage: readonly number[];
  /**
   * What a user should know about the fit: classes without samples, without variance, or with no more samples than dimensions, and any jitter that
   * was not asked for as a number.
   */
  readonly warnings: readonly string[];
  /**
   * @internal The classes of two or more samples that are all equal.
   */
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
   * Fits a mixture to features in memory.
   *
   * @param features - un-augmented training features, float32 or float64, [N, d]
   * @param labels - class of each row, [N]
   * @param options - how the mixture is estimated, and where
   * @throws ERR_NON_FINITE for NaN or infinity in the features, naming the row; ERR_SHAPE where features are not [N, d] or labels not [N]; ERR_DTYPE
   *   for another dtype of features or labels; ERR_OPTION where an option is unknown or wrong, or `rank` does not go with the covariance; ERR_RANGE
   *   for a label outside 0 to numClasses − 1, for one of 65,536 or more where `numClasses` is not given, for a rank outside 1 to d − 1, and for
   *   features whose variances are beyond float64; ERR_NOT_POSITIVE_DEFINITE where there is no variance at all, or the jitter that was asked for is
   *   too small; ERR_DEVICE where the device is unavailable; ERR_ABORTED on an abort
   */
  static async fit(features: Tensor | ArrayWithShape, labels: Labels, options?: GaussianMixtureFitOptions): Promise<GaussianMixture>;
  /**
   * Fits a mixture to a file of features without loading it: one pass gathers {@link ClassStatistics}, so that memory is that of a piece and of the
   * scatters. Where `numClasses` is not given, a pass over the labels comes before. Densities are those of the first form to about 1e-12.
   *
   * @param file - un-augmented training features, as `files.openFeatures` opens them
   * @param labels - class of each row, [N]; undefined: the labels in the file
   * @param options - how the mixture is estimated, and where
   * @throws as the first form and `ClassStatistics.updateFrom`
   */
  static async fit(file: FeaturesFile, labels?: Labels, options?: GaussianMixtureFileOptions): Promise<GaussianMixture>;
  static async fit(
    features: Tensor | ArrayWithShape | FeaturesFile,
    labels?: Labels,
    options: GaussianMixtureFileOptions = {},
  ): Promise<GaussianMixture> {
    if (FeaturesFile.is(features)) return GaussianMixture.#fitFile(features, labels, options);
    const { numClasses, device, ...rest } = optionsObject(options as GaussianMixtureFitOptions, "options", fitOptionKeys);
    const { signal, ...rules } = resolve(rest);
    const x = toTensor(features, "features");
    const y = labelsTensor(labels as Labels, "labels");
    const classes = numClasses === undefined ? classesIn(y, "labels") : integer(numClasses, "numClasses", 1, 1 << 24);
    const where = string(device ?? "cpu", "device");
    const handle = callNative(() => new (native().GaussianMixture)(where));
    const asked = nativeOptions(rules);
    const [features2d, labels1d] = [Tensor.handle(x, "features"), Tensor.handle(y, "labels")];
    const featureDim = x.shape[1] as number; // the caller may dispose of the features meanwhile
    const found = await runNative(signal, (control) => handle.fitFeatures(control, features2d, labels1d, classes, asked));
    return new GaussianMixture(handle, where, describeFit(found, classes, featureDim, rules));
  }

  static async #fitFile(file: FeaturesFile, labels: Labels | undefined, options: GaussianMixtureFileOptions): Promise<GaussianMixture> {
    const { numClasses, device, from, ...rest } = optionsObject(options, "options", [...fitOptionKeys, "from"]);
    const { covariance, signal } = resolve(rest);
    const matrix = oneOf(from ?? "features", "from", modelOutputs);
    const classes = numClasses === undefined ? await classesInFile(file, labels, signal) : integer(numClasses, "numClasses", 1, 1 << 24);
    const featureDim = file.arrays.get(matrix)?.shape[1];
    if (featureDim === undefined) fail("ERR_OPTION", matrix, `a matrix of that name in ${file.path}`, undefined);
    if (file.length === 0) throw new LibtorchOodError("ERR_SHAPE", `${file.path}: expected at least one row, found none`);
    const statistics = new ClassStatistics({ numClasses: classes, featureDim, scatter: scatterFor[covariance], device });
    try {
      await statistics.updateFrom(file, { from: matrix, labels, signal });
      return await GaussianMixture.fromStatistics(statistics, rest);
    } finally {
      statistics.dispose();
    }
  }

  /**
   * Fits a mixture to class statistics, on their device. Covariance `"tied"` needs scatter `"full"` or `"pooled"`, `"diagonal"` needs `"full"` or
   * `"diagonal"`, and every other covariance needs `"full"`.
   *
   * @param statistics - counts, means and scatters of the training features; they do not change
   * @param options - how the mixture is estimated
   * @throws ERR_OPTION where the scatter does not serve the covariance; ERR_SHAPE where no sample was added; ERR_ABORTED where an earlier update was
   *   cut short; and as {@link fit}
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
   * The mixture log density of each row, in nats: the score of DDU, up to the prior. Under neural collapse it reaches −1e14 and less, which float32
   * cannot tell apart: keep it in float64.
   *
   * @param features - float32 or float64, [N, d]
   * @param options - `signal` aborts the call
   * @returns Float64Array [N]; higher means more in-distribution
   * @throws ERR_NON_FINITE for NaN or infinity in the features, naming the row; ERR_SHAPE where they are not [N, d]; ERR_DTYPE for another dtype;
   *   ERR_RANGE for a row whose squared distances from the class means are beyond float64, naming it; ERR_ABORTED on an abort; ERR_DISPOSED after
   *   {@link dispose}
   */
  async logDensity(features: Tensor | ArrayWithShape, options: { signal?: AbortSignal } = {}): Promise<Float64Array> {
    return (await this.#evaluate(features, "logDensity", options)).toTypedArray() as Float64Array;
  }

  /**
   * The log density log N(z; u_c, Σ_c) of each row in each class, in nats and without the prior.
   *
   * @param features - float32 or float64, [N, d]
   * @param options - `signal` aborts the call
   * @returns float64 [N, C]; −Infinity for a class without samples
   * @throws as {@link logDensity}
   */
  async classLogDensities(features: Tensor | ArrayWithShape, options: { signal?: AbortSignal } = {}): Promise<Tensor> {
    return new Tensor(await this.#evaluate(features, "classLogDensities", options));
  }

  /**
   * The posterior probability q(c | z) of each class for each row. With prior `"none"` every class has the same weight.
   *
   * @param features - float32 or float64, [N, d]
   * @param options - `signal` aborts the call
   * @returns float64 [N, C]; each row sums to 1
   * @throws as {@link logDensity}
   */
  async responsibilities(features: Tensor | ArrayWithShape, options: { signal?: AbortSignal } = {}): Promise<Tensor> {
    return new Tensor(await this.#evaluate(features, "responsibilities", options));
  }

  /**
   * The class with the highest posterior probability, for each row.
   *
   * @param features - float32 or float64, [N, d]
   * @param options - `signal` aborts the call
   * @returns Int32Array [N]
   * @throws as {@link logDensity}
   */
  async predict(features: Tensor | ArrayWithShape, options: { signal?: AbortSignal } = {}): Promise<Int32Array> {
    return (await this.#evaluate(features, "predict", options)).toTypedArray() as Int32Array;
  }

  /**
   * Mean and covariance of a class as the density uses them, shrinkage and jitter included.
   *
   * @param label - the class, 0 to numClasses − 1
   * @throws ERR_RANGE for a label outside 0 to numClasses − 1, and for a class without samples; ERR_OPTION where `label` is no integer; ERR_DISPOSED
   *   after {@link dispose}
   */
  async parameters(label: number): Promise<{
    /** Mean, float64 [d]. */
    mean: Tensor;
    /** Covariance, float64 [d, d]. */
    covariance: Tensor;
  }> {
    integer(label, "label", 0, this.numClasses - 1);
    const found = await runNative(undefined, (control) => this.#native.parameters(control, label));
    const [mean, covariance] = ["mean", "covariance"].map((name) => new Tensor(named(found, name))) as [Tensor, Tensor];
    return { mean, covariance };
  }

  /**
   * Writes everything to a .safetensors file, Cholesky factors as packed triangles. The file appears at once and whole.
   *
   * @param path - the file
   * @throws ERR_IO where the file cannot be written; ERR_DISPOSED after {@link dispose}
   */
  async save(path: string): Promise<void> {
    const { description, tensors } = await this.state();
    await writeStateFile(path, format, description, tensors);
  }

  /**
   * Reads a file that {@link save} wrote. Densities are the same but for rounding in the last bit.
   *
   * @param path - the file
   * @param options - `device`: where to compute, `"cpu"` by default
   * @throws ERR_IO where the file cannot be read; ERR_CORRUPT_FILE where it is damaged or of another kind; ERR_DEVICE where the device is unavailable
   */
  static async load(path: string, options: { device?: string } = {}): Promise<GaussianMixture> {
    const device = string(optionsObject(options, "options", ["device"]).device ?? "cpu", "device");
    const { description, state } = await readStateFile(path, format);
    return GaussianMixture.restore(description, state, device, path);
  }

  /**
   * @internal What a file holds of the mixture: a description that survives JSON, and arrays.
   */
  async state(): Promise<{ description: Record<string, unknown>; tensors: NativeNamedTensor[] }> {
    const tensors = await runNative(undefined, (control) => this.#native.state(control));
    const { numClasses, featureDim, covariance, prior, jitterRule, rank, preset, withoutVariance } = this;
    return { description: { numClasses, featureDim, covariance, prior, jitterRule, rank, preset, withoutVariance }, tensors };
  }

  /**
   * @internal The mixture that {@link state} described; `where` names the source in errors.
   */
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

  /**
   * @internal min_c (z − u_c)ᵀ Σ_c⁻¹ (z − u_c) of each row, Float64Array [N]. Throws as {@link logDensity}.
   */
  async leastSquaredDistance(features: Tensor | ArrayWithShape, options: { signal?: AbortSignal } = {}): Promise<Float64Array> {
    return (await this.#evaluate(features, "leastSquaredDistance", options)).toTypedArray() as Float64Array;
  }

  /** Frees the memory now. A second call does nothing. Later use throws ERR_DISPOSED. */
  dispose(): void {
    this.#native.dispose();
  }

  /** Calls {@link dispose} at the end of a `using` declaration's block. */
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
