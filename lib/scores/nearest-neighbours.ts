// The distance to the k-th nearest training feature, Sun et al. 2022.

import { boolean, integer, optionalSignal, optionsObject, string } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { integersOf, type Labels } from "../core/labels";
import { labelsTensor } from "../native/labels-tensor";
import { native, type NativeNearestNeighbours } from "../native/surface";
import { callNative, runNative } from "../native/call";
import { Tensor } from "../native/tensor";
import { fitOutputs, readOutputs, resolveSource, type ModelOutputs, type Score, type ScoreCallOptions } from "./score";
import type { ScoreState, SourceOptions, TrainingOutputs } from "./score";
import { damaged, restoring, storedInteger, storedSource } from "./stored";

export interface NearestNeighboursOptions extends SourceOptions {
  /**
   * Which neighbour's distance counts, 1 to N. Default 50, as OpenOOD has it for CIFAR; the paper chooses it on validation data. Where it exceeds
   * the samples of a class, that class's own inputs are measured to other classes: with `labels` in the training outputs, `warnings` says so.
   */
  k?: number;
  /** Divide every feature by its length first; one of zeros stays. Default true, as in the paper, which finds it decisive. */
  normalize?: boolean;
  /** `"cpu"` (default), `"cuda"` or `"cuda:N"`. */
  device?: string;
  signal?: AbortSignal;
}

const restKeys = ["k", "normalize", "device", "signal"] as const;
/** @internal */
export const nearestNeighboursOptionKeys = [...restKeys, "from"] as const;

/**
 * −‖z/‖z‖ − z_k/‖z_k‖‖₂, z_k the k-th nearest of the training features, Sun et al. 2022 (OpenOOD gives the square, in float32, which orders
 * alike). The search is exact: distances are screened by matrix products in float32 with a bound on their rounding, those that the bound leaves
 * open are measured again in float64 from differences, and where it leaves too many open, as under collapse, the screen is made finer.
 * All training features are kept, in the dtype they came in.
 */
export class NearestNeighbours implements Score {
  readonly name = "nearest-neighbours";
  readonly needs: readonly (keyof ModelOutputs)[];
  readonly warnings: readonly string[];
  readonly #native: NativeNearestNeighbours;

  private constructor(
    handle: NativeNearestNeighbours,
    readonly from: keyof ModelOutputs,
    readonly k: number,
    readonly normalize: boolean,
    /** Samples of the smallest class, where labels were given. */
    readonly smallestClass: number | undefined,
  ) {
    this.#native = handle;
    this.needs = [from];
    this.warnings =
      smallestClass === undefined || k <= smallestClass
        ? []
        : [`k is ${k}, but the smallest class has ${smallestClass} samples: the distances of its own inputs are to other classes`];
  }

  /** @internal */
  static async fit(training: TrainingOutputs, options: NearestNeighboursOptions = {}): Promise<NearestNeighbours> {
    const { from, rest } = resolveSource(options);
    const { k = 50, normalize = true, device = "cpu", signal } = optionsObject(rest, "options", restKeys);
    integer(k, "k", 1);
    boolean(normalize, "normalize");
    optionalSignal(signal, "signal");
    const handle = callNative(() => new (native().NearestNeighbours)(string(device, "device")));
    return fitOutputs("nearest-neighbours", training, [from], async (given) => {
      const rows = given[from].shape[0] as number;
      if (k > rows) throw new LibtorchOodError("ERR_RANGE", `k: expected at most ${rows}, as there are training features, found ${k}`);
      const smallest = training.labels === undefined ? undefined : smallestCount(training.labels, rows);
      const features = Tensor.handle(given[from], from);
      await runNative(signal, (control) => handle.fit(control, features, { k, normalize }));
      return new NearestNeighbours(handle, from, k, normalize, smallest);
    });
  }

  /** @internal */
  static async restore({ description, tensors }: ScoreState, device: string, where: string): Promise<NearestNeighbours> {
    const from = storedSource(description, where);
    const k = storedInteger(description, "k", 1, where);
    const { normalize } = description;
    if (typeof normalize !== "boolean") damaged(where, "normalize", "true or false", normalize);
    const points = tensors.find(({ name }) => name === "points")?.tensor;
    if (points === undefined) damaged(where, "points", "an array of that name", undefined);
    const handle = callNative(() => new (native().NearestNeighbours)(device));
    await restoring(where, () => runNative(undefined, (control) => handle.fit(control, points, { k, normalize })));
    // Absent where the score was fitted without labels.
    const smallest = description.smallestClass === undefined ? undefined : storedInteger(description, "smallestClass", 1, where);
    const [rows] = points.shape as [number];
    if (smallest !== undefined && smallest > rows) damaged(where, "smallestClass", `at most ${rows}`, smallest);
    return new NearestNeighbours(handle, from, k, normalize, smallest);
  }

  async score(outputs: ModelOutputs, options: ScoreCallOptions = {}): Promise<Float64Array> {
    return readOutputs(this, outputs, options, async (given, signal) => {
      const features = Tensor.handle(given[this.from], this.from);
      const distances = await runNative(signal, (control) => this.#native.distances(control, features));
      return (distances.toTypedArray() as Float64Array).map((distance) => -distance);
    });
  }

  async state(): Promise<ScoreState> {
    const tensors = await runNative(undefined, (control) => this.#native.state(control));
    const { from, k, normalize, smallestClass } = this;
    return { description: { from, k, normalize, smallestClass }, tensors };
  }

  dispose(): void {
    this.#native.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Samples of the smallest class that has any. @throws ERR_SHAPE unless there is a label per row, ERR_DTYPE */
function smallestCount(labels: Labels, rows: number): number {
  const list = integersOf(labelsTensor(labels, "labels"), "labels");
  if (list.length !== rows) throw new LibtorchOodError("ERR_SHAPE", `labels: expected ${rows}, one per row, found ${list.length}`);
  const counts = new Map<number | bigint, number>();
  for (let i = 0; i < list.length; i++) counts.set(list[i] as number, (counts.get(list[i] as number) ?? 0) + 1);
  return [...counts.values()].reduce((least, count) => Math.min(least, count));
}
