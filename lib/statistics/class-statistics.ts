// ClassStatistics: counts, means and scatters per class, added up batch by batch. A Gaussian mixture, the neural-collapse numbers and covariances
// follow from them, so that the features need not be kept.

import { describe, fail, integer, oneOf, optionalSignal, optionsObject, string } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import type { Labels } from "../core/labels";
import { modelOutputs, type ModelOutput } from "../core/model-outputs";
import { FeaturesFile } from "../formats/features-file";
import { labelsTensor } from "../native/labels-tensor";
import { native, type NativeClassStatistics } from "../native/surface";
import { callNative, runNative } from "../native/call";
import { corrupt, readStateFile, restoring, writeStateFile } from "../formats/state-file";
import { heldIn, Tensor, toTensor, type ArrayWithShape } from "../native/tensor";
import { check, object, oneOf as among, whole } from "../core/schema";
import { located } from "../core/located";
import { Scope } from "../core/scope";
import { labelledPieces } from "./labelled-pieces";

/**
 * What is kept of the spread within classes.
 *
 * - `"full"`: one d×d matrix per class.
 * - `"pooled"`: one d×d matrix for all classes together.
 * - `"diagonal"`: the variances of each class only.
 */
export type Scatter = "full" | "pooled" | "diagonal";

/** Options of the constructor of {@link ClassStatistics}. */
export interface ClassStatisticsOptions {
  /** C: the number of classes, 1 to 2^24. Labels go from 0 to C − 1. */
  numClasses: number;
  /** d: the number of columns of the features, 1 to 2^20. */
  featureDim: number;
  /**
   * What is kept of the spread within classes. Default `"full"`, which takes 8·C·d² bytes: 21 MB for 10 classes of 512 dimensions, 3.4 GB for 100
   * classes of 2048.
   */
  scatter?: Scatter;
  /** Where to compute: `"cpu"` (default), `"cuda"` or `"cuda:N"`. */
  device?: string;
}

const format = "libtorch-ood/class-statistics";
const scatters = ["full", "pooled", "diagonal"] as const;
/** The description of statistics in a file. */
const storedStatistics = object({ numClasses: whole(1, 1 << 24), featureDim: whole(1, 1 << 20), scatter: among(scatters) });

/**
 * Count, mean and scatter Σ(z − u_c)(z − u_c)ᵀ of each class, in float64 whatever the dtype of the features. Memory does not grow with the number of
 * samples.
 *
 * Batches are joined by the pairwise formulas of Chan, Golub and LeVeque (1983). Any division of the data into batches, and any merge, therefore
 * gives the same numbers to about 1e-12. E[x²] − E[x]² is never formed.
 *
 * Calls on one object run in the order in which they were made.
 *
 * @example
 * import { ClassStatistics, GaussianMixture } from "libtorch-ood";
 *
 * const statistics = new ClassStatistics({ numClasses: 2, featureDim: 2 });
 * await statistics.update({ data: new Float32Array([0, 0, 1, 2, 2, 1]), shape: [3, 2] }, [0, 0, 0]);
 * await statistics.update({ data: new Float32Array([9, 9, 8, 7, 7, 8]), shape: [3, 2] }, [1, 1, 1]);
 * await statistics.counts(); // [3, 3]
 * const mixture = await GaussianMixture.fromStatistics(statistics);
 */
export class ClassStatistics {
  /** C: the number of classes. */
  readonly numClasses: number;
  /** d: the number of columns of the features. */
  readonly featureDim: number;
  /** What is kept of the spread within classes. */
  readonly scatter: Scatter;
  /** Where it computes: `"cpu"`, `"cuda"` or `"cuda:N"`. */
  readonly device: string;
  readonly #native: NativeClassStatistics;
  #last: Promise<unknown> = Promise.resolve();

  /**
   * Makes statistics without samples.
   *
   * @param options - number of classes and dimensions, kind of scatter, device
   * @throws ERR_OPTION where an option is unknown or of the wrong type; ERR_RANGE where a number is outside its range; ERR_DEVICE where the device is
   *   unavailable; ERR_OUT_OF_MEMORY where the memory of the scatters is unavailable; ERR_LIBTORCH_NOT_FOUND where there is no libtorch
   */
  constructor(options: ClassStatisticsOptions) {
    const given = optionsObject(options, "options", ["numClasses", "featureDim", "scatter", "device"]);
    this.numClasses = integer(given.numClasses, "numClasses", 1, 1 << 24);
    this.featureDim = integer(given.featureDim, "featureDim", 1, 1 << 20);
    this.scatter = oneOf(given.scatter ?? "full", "scatter", scatters);
    this.device = string(given.device ?? "cpu", "device");
    this.#native = callNative(() => new (native().ClassStatistics)(this.numClasses, this.featureDim, this.scatter, this.device));
  }

  /**
   * Adds a batch. Small batches are gathered natively, so that their size does not matter for speed.
   *
   * A batch is checked before any of it is added. Only squares of deviations are an exception: where float64 does not hold them, this call, or the
   * later one that adds the gathered batches, throws ERR_RANGE, and every further use throws ERR_ABORTED.
   *
   * @param features - float32 or float64, [n, d]
   * @param labels - class of each row, [n], 0 to numClasses − 1
   * @param options - `signal` aborts the call
   * @throws ERR_NON_FINITE for NaN or infinity, naming the row; ERR_RANGE for a label outside 0 to numClasses − 1, naming it, and for deviations
   *   whose squares float64 does not hold; ERR_SHAPE where features are not [n, d] with n at least 1, or labels not [n]; ERR_DTYPE for another dtype
   *   of features or labels; ERR_ABORTED on an abort, after which every further use throws ERR_ABORTED if part of the batch had been added;
   *   ERR_DISPOSED after {@link dispose}
   */
  async update(features: Tensor | ArrayWithShape, labels: Labels, options: { signal?: AbortSignal } = {}): Promise<void> {
    const signal = signalOf(options);
    // A stream of batches must not wait for the collector to give these copies back.
    await Scope.run((scope) => {
      const rows = Tensor.handle(heldIn(scope, toTensor(features, "features"), features), "features");
      const classes = Tensor.handle(heldIn(scope, labelsTensor(labels, "labels"), labels), "labels");
      return this.#inTurn(() => runNative(signal, (control) => this.#native.update(control, rows, classes)));
    });
  }

  /**
   * Adds all rows of a file of features, in one pass that holds one piece of it in memory. Where the call throws, the rows before the fault stay added.
   *
   * @param file - features with labels, as `files.openFeatures` opens them
   * @param options - which matrix, and the signal
   * @param options.from - the matrix of the file that is added. Default `"features"`.
   * @param options.labels - class of each row, [N]. Default: the labels in the file.
   * @param options.signal - aborts the call
   * @throws ERR_OPTION where `file` is no FeaturesFile, or the matrix or the labels are not in it; ERR_CORRUPT_FILE where the file is not what the run
   *   that wrote it recorded, which is known after the last row; ERR_IO where it cannot be read; ERR_DISPOSED where it has been closed; and as
   *   {@link update}
   * @example
   * import { ClassStatistics, files, GaussianMixture } from "libtorch-ood";
   *
   * const file = await files.openFeatures("features/train");
   * const statistics = new ClassStatistics({ numClasses: 1000, featureDim: 2048, scatter: "pooled" });
   * await statistics.updateFrom(file);
   * const mixture = await GaussianMixture.fromStatistics(statistics, { covariance: "tied" });
   */
  async updateFrom(file: FeaturesFile, options: { from?: ModelOutput; labels?: Labels; signal?: AbortSignal } = {}): Promise<void> {
    if (!FeaturesFile.is(file)) fail("ERR_OPTION", "file", "what files.openFeatures gives", file);
    const { from, labels, signal: given } = optionsObject(options, "options", ["from", "labels", "signal"]);
    const signal = optionalSignal(given, "signal");
    const matrix = oneOf(from ?? "features", "from", modelOutputs);
    for await (const piece of labelledPieces(file, { from: matrix, labels, signal })) {
      await located(`${file.path}: `, this.update(piece.rows, piece.labels, { signal }), piece.offset);
    }
  }

  /**
   * Adds the statistics of other samples. Both must have the same number of classes and dimensions, the same scatter and the same device. Where the
   * call throws, nothing has changed.
   *
   * @param other - the statistics to add; they do not change
   * @param options - `signal` aborts the call
   * @throws ERR_SHAPE for another number of classes or dimensions; ERR_OPTION for another scatter, and where `other` is no ClassStatistics;
   *   ERR_DEVICE for another device; ERR_RANGE where float64 does not hold the squares of distances between means; ERR_ABORTED on an abort;
   *   ERR_DISPOSED after {@link dispose} of either
   */
  async merge(other: ClassStatistics, options: { signal?: AbortSignal } = {}): Promise<void> {
    const signal = signalOf(options);
    const theirs = ClassStatistics.#of(other, "other");
    const before = other.#last;
    const merged = this.#inTurn(async () => {
      await before;
      await runNative(signal, (control) => this.#native.merge(control, theirs));
    });
    other.#last = Promise.allSettled([other.#last, merged]); // what is added to the other later is not part of the merge
    await merged;
  }

  /**
   * Number of samples of each class, length C.
   *
   * @throws ERR_ABORTED where an earlier call was cut short; ERR_RANGE where the squares of gathered batches do not fit in float64; ERR_DISPOSED
   *   after {@link dispose}
   */
  async counts(): Promise<number[]> {
    const counts = await this.#inTurn(() => runNative(undefined, (control) => this.#native.counts(control)));
    return Array.from(counts.toTypedArray() as BigInt64Array, Number);
  }

  /**
   * Class means, float64 [C, d]. A class without samples has zeros.
   *
   * @throws as {@link counts}
   */
  async means(): Promise<Tensor> {
    return new Tensor(await this.#inTurn(() => runNative(undefined, (control) => this.#native.means(control))));
  }

  /**
   * A covariance matrix, float64 [d, d].
   *
   * @param options - which covariance
   * @param options.of - a class index, `"pooled"` or `"global"`. The covariance of a class has the divisor n_c − ddof. `"pooled"` is the covariance
   *   within classes, with the divisor N − ddof·C where C counts the classes with samples. `"global"` is the covariance regardless of class, with the
   *   divisor N − ddof.
   * @param options.ddof - degrees of freedom to subtract, a whole number. Default 1.
   * @param options.signal - aborts the call
   * @throws ERR_OPTION where the kind of scatter does not hold it: with `"diagonal"` there are class variances only, with `"pooled"` no covariance of
   *   one class; ERR_SHAPE where the divisor is not positive; ERR_RANGE for a class index outside 0 to numClasses − 1, and where an entry does not
   *   fit in float64; ERR_ABORTED on an abort; ERR_DISPOSED after {@link dispose}
   */
  async covariance(options: { of: number | "pooled" | "global"; ddof?: number; signal?: AbortSignal }): Promise<Tensor> {
    const { of, ddof = 1, signal } = optionsObject(options, "options", ["of", "ddof", "signal"]);
    if (typeof of === "number") integer(of, "of", 0, this.numClasses - 1);
    else oneOf(of, "of", ["pooled", "global"]);
    integer(ddof, "ddof", 0, 1 << 20);
    optionalSignal(signal, "signal");
    return new Tensor(await this.#inTurn(() => runNative(signal, (control) => this.#native.covariance(control, of, ddof))));
  }

  /**
   * Writes everything to a .safetensors file, scatters as packed triangles. The file appears at once and whole.
   *
   * @param path - the file
   * @throws ERR_IO where the file cannot be written; and as {@link counts}
   */
  async save(path: string): Promise<void> {
    const state = await this.#inTurn(() => runNative(undefined, (control) => this.#native.state(control)));
    const { numClasses, featureDim, scatter } = this;
    await writeStateFile(path, format, { numClasses, featureDim, scatter }, state);
  }

  /**
   * Reads a file that {@link save} wrote. Further use gives the same numbers to the last bit.
   *
   * @param path - the file
   * @param options - `device`: where to compute, `"cpu"` by default
   * @throws ERR_IO where the file cannot be read; ERR_CORRUPT_FILE where it is damaged or of another kind; ERR_DEVICE where the device is
   *   unavailable; ERR_OUT_OF_MEMORY
   */
  static async load(path: string, options: { device?: string } = {}): Promise<ClassStatistics> {
    const { device } = optionsObject(options, "options", ["device"]);
    const { description, state } = await readStateFile(path, format);
    const stored = check(storedStatistics, description, (place, expected, found) => corrupt(path, place, expected, found));
    const { numClasses, featureDim } = stored;
    const mean = state.find(({ name }) => name === "mean")?.tensor.shape ?? [];
    if (mean[0] !== numClasses || mean[1] !== featureDim) corrupt(path, "mean", `shape [${numClasses}, ${featureDim}]`, mean);
    const statistics = new ClassStatistics({ ...stored, device });
    // What a later save would refuse, or write so that it is not read, would cost all that had been added until then.
    for (const { name, tensor } of state) {
      if (name !== "count" && name !== "trace") continue;
      const values = tensor.toTypedArray() as ArrayLike<number | bigint>;
      const wrong = Array.from(values).find((value) => value < 0 || (name === "count" && value > Number.MAX_SAFE_INTEGER));
      if (wrong !== undefined) corrupt(path, name, name === "count" ? "0 to 2^53 - 1" : "0 or more", wrong);
    }
    await restoring(path, () => runNative(undefined, (control) => statistics.#native.loadState(control, statistics.scatter, state)));
    return statistics;
  }

  /** Frees the memory now. A second call does nothing. Later use throws ERR_DISPOSED. */
  dispose(): void {
    this.#native.dispose();
  }

  /** Calls {@link dispose} at the end of a `using` declaration's block. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /**
   * @internal Reads from the native object when every call made before has ended, and before any made later.
   */
  static async read<T>(statistics: ClassStatistics, name: string, call: (handle: NativeClassStatistics) => Promise<T>): Promise<T> {
    const handle = ClassStatistics.#of(statistics, name);
    return statistics.#inTurn(() => call(handle));
  }

  static #of(value: ClassStatistics, name: string): NativeClassStatistics {
    if (typeof value !== "object" || value === null || !(#native in value)) {
      throw new LibtorchOodError("ERR_OPTION", `${name}: expected ClassStatistics, found ${describe(value)}`);
    }
    return value.#native;
  }

  #inTurn<T>(call: () => Promise<T>): Promise<T> {
    const result = this.#last.then(call);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

function signalOf(options: { signal?: AbortSignal }): AbortSignal | undefined {
  return optionalSignal(optionsObject(options, "options", ["signal"]).signal, "signal");
}
