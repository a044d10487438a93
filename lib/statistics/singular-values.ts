// Singular values of features, and of other sets seen in the basis of the training features (Fig. 6 of the seed paper).

import { boolean, integer, optionalSignal, optionsObject, string } from "../core/checks";
import { native, type NativeNamedTensor } from "../native/surface";
import { runNative } from "../native/call";
import { Tensor, toTensor, type ArrayWithShape } from "../native/tensor";

/** Options of {@link singularValues}. */
export interface SingularValuesOptions {
  /** How many singular values and directions to keep, 1 to min(N, d). Default: all. */
  k?: number;
  /** Subtract the mean of the features first. Default false, the paper's: its first 10 of 10 classes; centred, a simplex frame has 9. */
  centred?: boolean;
  /** `"cpu"` (default), `"cuda"` or `"cuda:N"`. */
  device?: string;
  /** Aborts the call, which then throws ERR_ABORTED. */
  signal?: AbortSignal;
}

/** The leading singular values of a feature set Z (N×d) and the directions that they belong to, Z ≈ U·diag(values)·basisᵀ. */
export interface SingularValues {
  /** Descending, [k]. They grow with √N: divide by Math.sqrt(count) to compare sets of different sizes. */
  readonly values: Float64Array;
  /** Right singular vectors in columns, float64 [d, k], each with its entry of largest magnitude positive. */
  readonly basis: Tensor;
  /** The mean that was subtracted, float64 [d]; undefined where `centred` was false. */
  readonly centre: Tensor | undefined;
  /** What the first k leave out: the root of the sum of the squares of the other singular values. */
  readonly outside: number;
  /** Singular values above max(N, d)·2.2e-16 of the largest, whether kept or not. */
  readonly rank: number;
  /** N */
  readonly count: number;
}

/** Another feature set Y (M×d) seen in such a basis V. */
export interface ProjectedSingularValues {
  /** Singular values of Y·V, descending, [k]: zeros where M < k. */
  readonly values: Float64Array;
  /** ‖Y·v_j‖ along each direction v_j, in the order of the basis, [k]. Of the training features they are the singular values themselves. */
  readonly lengths: Float64Array;
  /** ‖Y − Y·V·Vᵀ‖_F: what lies outside the directions that were kept. */
  readonly outside: number;
  /** M */
  readonly count: number;
}

/**
 * Singular values of the features and the basis for {@link projectedSingularValues}. The features are read piece by piece through a triangle
 * (QR), in float64: no Gram matrix is formed, so that values down to about 1e-15 of the largest are right, and memory does not grow with N. Time
 * is O(N·d² + d³).
 *
 * @param features [N, d], float32 or float64
 * @throws ERR_NON_FINITE naming the row, ERR_SHAPE, ERR_DTYPE, ERR_RANGE for k, ERR_OPTION, ERR_ABORTED
 * @example
 * const training = await neuralCollapse.singularValues(train.features, { k: 20 });
 * const clothes = await neuralCollapse.projectedSingularValues(training, ood.features);
 * training.values[0] / Math.sqrt(training.count); // beside clothes.lengths[0] / Math.sqrt(clothes.count)
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
 * Other features in the basis of the training features: where a network has collapsed, in-distribution features keep to the first directions, and
 * out-of-distribution ones are shorter along them.
 *
 * @param training what {@link singularValues} gave; its centre, where it has one, is subtracted here too
 * @param features [M, d], float32 or float64
 * @throws ERR_NON_FINITE naming the row, ERR_SHAPE, ERR_DTYPE, ERR_OPTION, ERR_ABORTED; ERR_RANGE where the basis is not orthonormal
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
