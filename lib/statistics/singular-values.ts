// Singular values of features, and of other features in the basis of the training features (Fig. 6 of the seed paper).

import { boolean, integer, optionalSignal, optionsObject, string } from "../core/checks";
import { native, type NativeNamedTensor } from "../native/surface";
import { runNative } from "../native/call";
import { Tensor, toTensor, type ArrayWithShape } from "../native/tensor";

/** Options of {@link singularValues}. */
export interface SingularValuesOptions {
  /** Number of singular values and directions to keep, 1 to min(N, d). Default: all. */
  k?: number;
  /**
   * Whether the mean of the features is subtracted first. Default false, as in the seed paper, which counts the first 10 directions of 10 classes; a
   * centred simplex frame has 9.
   */
  centred?: boolean;
  /** Where to compute: `"cpu"` (default), `"cuda"` or `"cuda:N"`. */
  device?: string;
  /** Aborts the call, which then rejects with ERR_ABORTED. */
  signal?: AbortSignal;
}

/** The leading singular values of features Z (N×d) and the directions that belong to them: Z ≈ U·diag(values)·basisᵀ. */
export interface SingularValues {
  /** Singular values, descending, [k]. They grow with √N: divide them by `Math.sqrt(count)` to compare sets of different sizes. */
  readonly values: Float64Array;
  /** Right singular vectors in columns, float64 [d, k]. The entry of largest magnitude of each vector is positive. */
  readonly basis: Tensor;
  /** The mean that was subtracted, float64 [d]; undefined where `centred` was false. */
  readonly centre: Tensor | undefined;
  /** What the k directions leave out: the square root of the sum of the squares of the other singular values. */
  readonly outside: number;
  /** Number of singular values, kept or not, above max(N, d)·2.2e-16 of the largest. */
  readonly rank: number;
  /** N: the number of features. */
  readonly count: number;
}

/** Other features Y (M×d) in the basis V of the training features. */
export interface ProjectedSingularValues {
  /** Singular values of Y·V, descending, [k]. They end in zeros where M < k. */
  readonly values: Float64Array;
  /** ‖Y·v_j‖ along each direction v_j, in the order of the basis, [k]. For the training features these are the singular values themselves. */
  readonly lengths: Float64Array;
  /** ‖Y − Y·V·Vᵀ‖_F: what lies outside the directions that were kept. */
  readonly outside: number;
  /** M: the number of features. */
  readonly count: number;
}

/**
 * Singular values of features, and the basis for {@link projectedSingularValues}.
 *
 * The features are reduced piece by piece to a triangle (QR) in float64. No Gram matrix is formed, so that values down to about 1e-15 of the largest
 * are right, and memory does not grow with N. Time is O(N·d² + d³).
 *
 * @param features - float32 or float64, [N, d]
 * @param options - number of directions, centring, device
 * @throws ERR_NON_FINITE for NaN or infinity, naming the row; ERR_SHAPE where features are not [N, d] with at least one row and column; ERR_DTYPE for
 *   another dtype; ERR_RANGE where `k` is outside 1 to min(N, d), and where a result is beyond float64; ERR_OPTION where an option is unknown or
 *   wrong; ERR_DEVICE where the device is unavailable; ERR_ABORTED on an abort
 * @example
 * import { neuralCollapse } from "libtorch-ood";
 *
 * const train = { data: new Float32Array([3, 0, 0, 0, 4, 0]), shape: [2, 3] };
 * const other = { data: new Float32Array([0, 1, 1]), shape: [1, 3] };
 * const training = await neuralCollapse.singularValues(train, { k: 2 }); // values [4, 3]
 * const projected = await neuralCollapse.projectedSingularValues(training, other); // lengths [1, 0], outside 1
 * training.values.map((value) => value / Math.sqrt(training.count)); // comparable with lengths / sqrt(projected.count)
 */
export async function singularValues(features: Tensor | ArrayWithShape, options: SingularValuesOptions = {}): Promise<SingularValues> {
  const { k, centred = false, device = "cpu", signal } = optionsObject(options, "options", ["k", "centred", "device", "signal"]);
  if (k !== undefined) integer(k, "k", 1);
  boolean(centred, "centred");
  string(device, "device");
  const z = toTensor(features, "features");
  const rows = Tensor.handle(z, "features");
  const [count] = z.shape as [number]; // the caller may dispose of the features meanwhile
  const found = await runNative(optionalSignal(signal, "signal"), (control) =>
    native().singularValues(control, rows, { k, centred }, device),
  );
  return {
    values: numbers(found, "values"),
    basis: new Tensor(named(found, "basis")),
    centre: centred ? new Tensor(named(found, "centre")) : undefined,
    outside: numbers(found, "outside")[0] as number,
    rank: numbers(found, "rank")[0] as number,
    count,
  };
}

/**
 * Other features in the basis of the training features. Where a network has collapsed, in-distribution features keep to the first directions, and
 * out-of-distribution features are shorter along them.
 *
 * @param training - what {@link singularValues} gave. Its centre, where it has one, is subtracted from these features too.
 * @param features - float32 or float64, [M, d]
 * @param options - `device`: where to compute, `"cpu"` by default; `signal` aborts the call
 * @throws ERR_NON_FINITE for NaN or infinity, naming the row; ERR_SHAPE where features are not [M, d], or basis and centre do not go with them;
 *   ERR_DTYPE for another dtype; ERR_OPTION where an option or `training` is wrong; ERR_RANGE where the basis is not orthonormal, and where a result
 *   is beyond float64; ERR_DEVICE where the device is unavailable; ERR_ABORTED on an abort
 */
export async function projectedSingularValues(
  training: Pick<SingularValues, "basis" | "centre">,
  features: Tensor | ArrayWithShape,
  options: { device?: string; signal?: AbortSignal } = {},
): Promise<ProjectedSingularValues> {
  const { device = "cpu", signal } = optionsObject(options, "options", ["device", "signal"]);
  string(device, "device");
  const { basis, centre } = optionsObject(training as Partial<SingularValues>, "training", [
    "values",
    "basis",
    "centre",
    "outside",
    "rank",
    "count",
  ]);
  const directions = Tensor.handle(basis as Tensor, "training.basis");
  const origin = centre && Tensor.handle(centre, "training.centre");
  const y = toTensor(features, "features");
  const rows = Tensor.handle(y, "features");
  const [count] = y.shape as [number];
  const found = await runNative(optionalSignal(signal, "signal"), (control) =>
    native().projectedSingularValues(control, rows, directions, origin, device),
  );
  return {
    values: numbers(found, "values"),
    lengths: numbers(found, "lengths"),
    outside: numbers(found, "outside")[0] as number,
    count,
  };
}

function named(found: readonly NativeNamedTensor[], name: string) {
  return (found.find((entry) => entry.name === name) as NativeNamedTensor).tensor;
}

function numbers(found: readonly NativeNamedTensor[], name: string): Float64Array {
  return named(found, name).toTypedArray() as Float64Array;
}
