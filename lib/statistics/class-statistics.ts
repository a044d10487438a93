// ClassStatistics: counts, means and scatters per class, fed batch by batch; mixture, neural-collapse numbers and covariances
// follow from them without the features being kept.

import { describe, integer, oneOf, optionalSignal, optionsObject, string } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import type { Labels } from "../core/labels";
import { labelsTensor } from "../native/labels-tensor";
import { native, type NativeClassStatistics } from "../native/surface";
import { callNative, runNative } from "../native/call";
import { corrupt, readStateFile, restoring, writeStateFile } from "../formats/state-file";
import { heldIn, Tensor, toTensor, type ArrayWithShape } from "../native/tensor";
import { check, object, oneOf as among, whole } from "../core/schema";
import { Scope } from "../core/scope";

/**
 * What is kept of the spread within classes: `"full"` one d×d matrix per class, `"pooled"` one d×d matrix in all,
 * `"diagonal"` the variances only.
 */
export type Scatter = "full" | "pooled" | "diagonal";

/** Options of `new ClassStatistics`. */
export interface ClassStatisticsOptions {
  /** C: the number of classes. */
  numClasses: number;
  /** d: the number of columns of the features. */
  featureDim: number;
  /** Default `"full"`, which takes 8·C·d² bytes: 21 MB for 10 classes of 512 dimensions, 3.4 GB for 100 of 2048. */
  scatter?: Scatter;
  /** `"cpu"` (default), `"cuda"` or `"cuda:N"`. */
  device?: string;
}

const format = "libtorch-ood/class-statistics";
const scatters = ["full", "pooled", "diagonal"] as const;
/** What a file says of statistics. */
const storedStatistics = object({ numClasses: whole(1, 1 << 24), featureDim: whole(1, 1 << 20), scatter: among(scatters) });

/**
 * Count, mean and scatter Σ(z − u_c)(z − u_c)ᵀ per class, in float64 whatever the features are. Batches are joined by the pairwise
 * formulas of Chan, Golub and LeVeque (1983), so that any division of the data into batches, and any merge, gives the same numbers
 * to about 1e-12; E[x²] − E[x]² is never formed. Memory does not grow with the number of samples.
 *
 * Calls on one object run in the order in which they were made.
 *
 * @example
 * const statistics = new ClassStatistics({ numClasses: 10, featureDim: 512 });
 * for await (const { features, labels } of batches) await statistics.update(features, labels);
 * const gmm = await GaussianMixture.fromStatistics(statistics);
 */
export class ClassStatistics {
  /** C: the number of classes. */
  readonly numClasses: number;
  /** d: the number of columns of the features. */
  readonly featureDim: number;
  /** Which scatter is kept. */
  readonly scatter: Scatter;
  /** Where the statistics are computed and kept. */
  readonly device: string;
  readonly #native: NativeClassStatistics;
  #last: Promise<unknown> = Promise.resolve();

  /** @throws ERR_OPTION, ERR_RANGE, ERR_DEVICE, ERR_OUT_OF_MEMORY, ERR_LIBTORCH_NOT_FOUND */
  constructor(options: ClassStatisticsOptions) {
    const given = optionsObject(options, "options", ["numClasses", "featureDim", "scatter", "device"]);
    this.numClasses = integer(given.numClasses, "numClasses", 1, 1 << 24);
    this.featureDim = integer(given.featureDim, "featureDim", 1, 1 << 20);
    this.scatter = oneOf(given.scatter ?? "full", "scatter", scatters);
    this.device = string(given.device ?? "cpu", "device");
    this.#native = callNative(() => new (native().ClassStatistics)(this.numClasses, this.featureDim, this.scatter, this.device));
  }

  /**
   * Adds a batch. Small batches are gathered natively, so their size does not matter for speed. All of a batch is checked before any of it is
   * added, except for squares of deviations: where float64 does not hold them, this call, or the one that adds the gathered batches, throws
   * ERR_RANGE, and every further use throws ERR_ABORTED.
   *
   * @param features [n, d], float32 or float64
   * @param labels [n], 0 to numClasses − 1
   * @throws ERR_NON_FINITE naming the row, ERR_RANGE naming the label, ERR_SHAPE, ERR_DTYPE; ERR_ABORTED, after which every further
   *   use throws ERR_ABORTED too where part of the batch had been added
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
   * Adds the statistics of other samples: the same number of classes and dimensions, the same scatter and device.
   *
   * @throws ERR_SHAPE, ERR_OPTION, ERR_DEVICE; ERR_RANGE where float64 does not hold the squares of distances between means. Nothing has changed then.
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

  /** Number of samples per class. */
  async counts(): Promise<number[]> {
    const counts = await this.#inTurn(() => runNative(undefined, (control) => this.#native.counts(control)));
    return Array.from(counts.toTypedArray() as BigInt64Array, Number);
  }

  /** Class means, float64 [C, d]; zeros where a class has no samples. */
  async means(): Promise<Tensor> {
    return new Tensor(await this.#inTurn(() => runNative(undefined, (control) => this.#native.means(control))));
  }

  /**
   * A covariance matrix, float64 [d, d].
   *
   * @param options.of a class index (divisor n_c − ddof), `"pooled"` within classes (N − ddof·C, C counting classes with samples)
   *   or `"global"`, regardless of class (N − ddof)
   * @param options.ddof default 1
   * @throws ERR_OPTION where the kind of scatter does not hold it, ERR_SHAPE for too few samples, ERR_RANGE, also where an entry overflows
   */
  async covariance(options: { of: number | "pooled" | "global"; ddof?: number; signal?: AbortSignal }): Promise<Tensor> {
    const { of, ddof = 1, signal } = optionsObject(options, "options", ["of", "ddof", "signal"]);
    if (typeof of === "number") integer(of, "of", 0, this.numClasses - 1);
    else oneOf(of, "of", ["pooled", "global"]);
    integer(ddof, "ddof", 0, 1 << 20);
    optionalSignal(signal, "signal");
    return new Tensor(await this.#inTurn(() => runNative(signal, (control) => this.#native.covariance(control, of, ddof))));
  }

  /** Writes everything to a .safetensors file, scatters as packed triangles. @throws ERR_IO */
  async save(path: string): Promise<void> {
    const state = await this.#inTurn(() => runNative(undefined, (control) => this.#native.state(control)));
    const { numClasses, featureDim, scatter } = this;
    await writeStateFile(path, format, { numClasses, featureDim, scatter }, state);
  }

  /** Reads what {@link save} wrote; further use gives the same numbers to the last bit. @throws ERR_CORRUPT_FILE, ERR_IO */
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

  /** Gives the memory back now. Idempotent; later use throws ERR_DISPOSED. */
  dispose(): void {
    this.#native.dispose();
  }

  /** Calls {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal Reads from the native object when every call made before has ended, and before any made later. */
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
