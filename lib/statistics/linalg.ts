// Matrix functions on tensors or typed arrays, single or in batches: the public `linalg`.

import { boolean, describe, finite, integer, oneOf, optionalSignal, optionsObject, string } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import type { Labels } from "../core/labels";
import { classesIn, labelsTensor } from "../native/labels-tensor";
import { native, type NativeJobControl, type NativeNamedTensor, type NativeTensor } from "../native/surface";
import { runNative } from "../native/call";
import { Tensor, toTensor, type ArrayWithShape } from "../native/tensor";

/** Options that every function of `linalg` takes. */
export interface LinalgOptions {
  /** Where to compute: `"cpu"` (default), `"cuda"` or `"cuda:N"`. Results come back to host memory. */
  device?: string;
  /** Aborts the call, which then rejects with ERR_ABORTED. */
  signal?: AbortSignal;
}

/** Options of {@link covariance}. */
export interface CovarianceOptions extends LinalgOptions {
  /** How often each row counts, none negative: [n], or [..., n] as x has rows. Default: once. */
  weights?: Tensor | ArrayWithShape;
  /** Degrees of freedom: the number that is subtracted from the total weight to give the divisor, at least 0. Default 1, as in `numpy.cov`. */
  ddof?: number;
  /** The class of each row, [n], for `of: "classes"` and `"pooled"`. */
  labels?: Labels;
  /** C: the number of classes, 1 to 2^24. Default: one more than the largest label. */
  numClasses?: number;
  /**
   * Which covariance.
   *
   * - `"global"` (default): of all rows, with the divisor Σw − ddof.
   * - `"classes"`: of each class about its own mean, [C, d, d], with the divisor Σw_c − ddof.
   * - `"pooled"`: within classes, Σ_c Σ w (x − x̄_c)(x − x̄_c)ᵀ, with the divisor Σw − ddof·C, where C counts the classes that have weight.
   */
  of?: "global" | "classes" | "pooled";
}

/** Options of {@link pinv}. */
export interface PinvOptions extends LinalgOptions {
  /** Singular values up to this share of the largest count as zero, 0 to 1. Default: max(m, n) times the machine epsilon of the dtype. */
  rcond?: number;
  /** Keeps this many of the largest singular values instead of those above `rcond`. */
  rank?: number;
  /** Whether the matrix is symmetric. Eigenvalues then serve, which is faster, and the mean of the two triangles is taken. Default false. */
  hermitian?: boolean;
}

/** Options of {@link cholesky}. */
export interface CholeskyOptions extends LinalgOptions {
  /**
   * What is added to the diagonal.
   *
   * - a number, at least 0: that value. Default 0.
   * - `"relative"`: 0 where it suffices, else the smallest 10^k·tr(A)/d with which min L_ii² ≥ d·eps·max L_ii² and each A_ii·(A⁻¹)_ii ≤
   *   1/(1000·d·eps), for each matrix separately.
   * - `"ddu"`: the first value of the DDU code's list that serves all matrices.
   */
  jitter?: "relative" | "ddu" | number;
}

const linalgKeys = ["device", "signal"] as const;

/**
 * Covariance of the rows of x, Σ w (x − x̄)(x − x̄)ᵀ / (Σw − ddof), in two passes and in float64 whatever the dtype. x may be one matrix, a batch of
 * matrices, or one matrix whose rows have classes. {@link ClassStatistics.covariance} serves where the rows do not fit in memory.
 *
 * @param x - float32 or float64, [..., n, d]; [n, d] with labels
 * @param options - weights, classes, divisor, device
 * @returns float64 [..., d, d]; [C, d, d] for `of: "classes"`
 * @throws ERR_SHAPE where x is no non-empty matrix, where weights or labels do not go with its rows, and where the weight, of a class or in all, does
 *   not exceed ddof; ERR_NON_FINITE for NaN or infinity, naming the row; ERR_RANGE for a negative weight, a label outside 0 to C − 1, and a
 *   covariance beyond float64; ERR_DTYPE for another dtype; ERR_OPTION where only one of `labels` and an `of` other than `"global"` is given;
 *   ERR_DEVICE where the device is unavailable; ERR_ABORTED on an abort
 * @example
 * import { linalg } from "libtorch-ood";
 *
 * const x = { data: new Float64Array([1, 2, 3, 4, 5, 9]), shape: [3, 2] };
 * (await linalg.covariance(x)).toArray(); // [4, 7, 7, 13], as numpy.cov(x, rowvar=False)
 */
export async function covariance(x: Tensor | ArrayWithShape, options: CovarianceOptions = {}): Promise<Tensor> {
  const known = ["weights", "ddof", "labels", "numClasses", "of", ...linalgKeys] as const;
  const { weights, ddof = 1, labels, numClasses, of = "global", ...rest } = optionsObject(options, "options", known);
  finite(ddof, "ddof", 0);
  oneOf(of, "of", ["global", "classes", "pooled"]);
  if ((labels === undefined) !== (of === "global")) {
    throw new LibtorchOodError("ERR_OPTION", `labels: expected with of "classes" or "pooled" and with no other, found of ${describe(of)}`);
  }
  if (numClasses !== undefined) integer(numClasses, "numClasses", 1, 1 << 24);
  const rows = handle(x, "x");
  const weight = weights === undefined ? undefined : handle(weights, "weights");
  const classes = labels === undefined ? undefined : labelsTensor(labels, "labels");
  const settings = {
    weights: weight,
    labels: classes && Tensor.handle(classes, "labels"),
    numClasses: classes && (numClasses ?? classesIn(classes, "labels")),
    of,
    ddof,
  };
  return tensorOf(rest, (control, device) => native().linalg.covariance(control, rows, settings, device));
}

/**
 * Moore-Penrose pseudoinverse of one matrix, or of each matrix of a batch.
 *
 * @param matrix - float32 or float64, [..., m, n]
 * @param options - which singular values count, device
 * @returns [..., n, m], with the dtype of the matrix
 * @throws ERR_SHAPE where the matrix is empty, has fewer than 2 dimensions or, with `hermitian`, is not square; ERR_NON_FINITE for NaN or infinity;
 *   ERR_DTYPE for another dtype; ERR_OPTION where both `rcond` and `rank` are given; ERR_RANGE where `rcond` is outside 0 to 1 or `rank` outside 0 to
 *   min(m, n), where `hermitian` is true for a matrix that is not symmetric, and where the result is beyond the dtype; ERR_DEVICE where the device is
 *   unavailable; ERR_ABORTED on an abort
 * @example
 * import { linalg } from "libtorch-ood";
 *
 * const matrix = { data: new Float64Array([2, 0, 0, 0]), shape: [2, 2] };
 * (await linalg.pinv(matrix)).toArray(); // [0.5, 0, 0, 0]
 */
export async function pinv(matrix: Tensor | ArrayWithShape, options: PinvOptions = {}): Promise<Tensor> {
  const { rcond, rank, hermitian = false, ...rest } = optionsObject(options, "options", ["rcond", "rank", "hermitian", ...linalgKeys]);
  if (rcond !== undefined && rank !== undefined) throw new LibtorchOodError("ERR_OPTION", "options: expected rcond or rank, found both");
  if (rcond !== undefined) finite(rcond, "rcond", 0, 1);
  if (rank !== undefined) integer(rank, "rank", 0);
  boolean(hermitian, "hermitian");
  const source = handle(matrix, "matrix");
  return tensorOf(rest, (control, device) => native().linalg.pinv(control, source, { rcond, rank, hermitian }, device));
}

/**
 * Lower Cholesky factor L with L·Lᵀ = A + jitter·I, computed in float64 whatever the dtype.
 *
 * @param matrix - symmetric, float32 or float64, [..., d, d]; where the triangles differ by rounding, their mean is taken
 * @param options - jitter, device
 * @throws ERR_NOT_POSITIVE_DEFINITE where a matrix with its jitter has no factor; ERR_SHAPE where the matrix is empty or not square; ERR_NON_FINITE
 *   for NaN or infinity; ERR_DTYPE for another dtype; ERR_RANGE where a matrix is not symmetric (beyond 1e-10 of its largest entry, 1e-4 in float32),
 *   and where the jitter or the factor is beyond its dtype; ERR_DEVICE where the device is unavailable; ERR_ABORTED on an abort
 * @example
 * import { linalg } from "libtorch-ood";
 *
 * const matrix = { data: new Float64Array([4, 2, 2, 2]), shape: [2, 2] };
 * const { factor } = await linalg.cholesky(matrix);
 * factor.toArray(); // [2, 0, 1, 1]
 */
export async function cholesky(
  matrix: Tensor | ArrayWithShape,
  options: CholeskyOptions = {},
): Promise<{
  /** The lower factors L, with the shape and dtype of the matrices. */
  factor: Tensor;
  /** The jitter of each matrix of the batch; one entry for a single matrix. */
  jitter: Float64Array;
}> {
  const { jitter = 0, ...rest } = optionsObject(options, "options", ["jitter", ...linalgKeys]);
  if (typeof jitter === "number") finite(jitter, "jitter", 0);
  else oneOf(jitter, "jitter", ["relative", "ddu"]);
  const source = handle(matrix, "matrix");
  const found = await run(rest, (control, device) => native().linalg.cholesky(control, source, jitter, device));
  return { factor: new Tensor(named(found, "factor")), jitter: named(found, "jitter").toTypedArray() as Float64Array };
}

/**
 * Sign and natural logarithm of the absolute determinant of one matrix, or of each matrix of a batch, in float64.
 *
 * @param matrix - float32 or float64, [..., d, d]
 * @param options - device
 * @returns one entry per matrix; sign 0 and −Infinity for a singular one
 * @throws ERR_SHAPE where the matrix is empty or not square; ERR_NON_FINITE for NaN or infinity; ERR_DTYPE for another dtype; ERR_RANGE where a pivot
 *   of the LU factors overflows float64; ERR_DEVICE where the device is unavailable; ERR_ABORTED on an abort
 * @example
 * import { linalg } from "libtorch-ood";
 *
 * const matrix = { data: new Float64Array([4, 2, 2, 2]), shape: [2, 2] };
 * const { sign, logarithm } = await linalg.logdet(matrix); // [1] and [Math.log(4)]
 */
export async function logdet(
  matrix: Tensor | ArrayWithShape,
  options: LinalgOptions = {},
): Promise<{
  /** Sign of each determinant: 1, −1, or 0 for a singular matrix. */
  sign: Float64Array;
  /** Natural logarithm of each absolute determinant; −Infinity for a singular matrix. */
  logarithm: Float64Array;
}> {
  const source = handle(matrix, "matrix");
  const rest = optionsObject(options, "options", linalgKeys);
  const found = await run(rest, (control, device) => native().linalg.logdet(control, source, device));
  const [sign, logarithm] = ["sign", "logarithm"].map((name) => named(found, name).toTypedArray()) as [Float64Array, Float64Array];
  return { sign, logarithm };
}

/**
 * Eigenvalues and eigenvectors of one symmetric matrix, or of each matrix of a batch.
 *
 * @param matrix - symmetric, float32 or float64, [..., d, d]; where the triangles differ by rounding, their mean is taken
 * @param options - device
 * @throws ERR_SHAPE where the matrix is empty or not square; ERR_NON_FINITE for NaN or infinity; ERR_DTYPE for another dtype; ERR_RANGE where a
 *   matrix is not symmetric, and where an eigenvalue is beyond the dtype; ERR_DEVICE where the device is unavailable; ERR_ABORTED on an abort
 * @example
 * import { linalg } from "libtorch-ood";
 *
 * const matrix = { data: new Float64Array([2, 1, 1, 2]), shape: [2, 2] };
 * const { values } = await linalg.eigh(matrix);
 * values.toArray(); // [1, 3]
 */
export async function eigh(
  matrix: Tensor | ArrayWithShape,
  options: LinalgOptions = {},
): Promise<{
  /** Eigenvalues, ascending, [..., d], with the dtype of the matrices. */
  values: Tensor;
  /** Eigenvectors in columns, [..., d, d], with the dtype of the matrices. */
  vectors: Tensor;
}> {
  const source = handle(matrix, "matrix");
  const rest = optionsObject(options, "options", linalgKeys);
  const found = await run(rest, (control, device) => native().linalg.eigh(control, source, device));
  return { values: new Tensor(named(found, "values")), vectors: new Tensor(named(found, "vectors")) };
}

/**
 * Singular values, descending, of one matrix, or of each matrix of a batch.
 *
 * @param matrix - float32 or float64, [..., m, n]
 * @param options - device
 * @returns [..., min(m, n)], with the dtype of the matrix
 * @throws ERR_SHAPE where the matrix is empty or has fewer than 2 dimensions; ERR_NON_FINITE for NaN or infinity; ERR_DTYPE for another dtype;
 *   ERR_RANGE where a singular value is beyond the dtype; ERR_DEVICE where the device is unavailable; ERR_ABORTED on an abort
 * @example
 * import { linalg } from "libtorch-ood";
 *
 * const matrix = { data: new Float64Array([3, 0, 0, 4]), shape: [2, 2] };
 * (await linalg.svdvals(matrix)).toArray(); // [4, 3]
 */
export async function svdvals(matrix: Tensor | ArrayWithShape, options: LinalgOptions = {}): Promise<Tensor> {
  const source = handle(matrix, "matrix");
  const rest = optionsObject(options, "options", linalgKeys);
  return tensorOf(rest, (control, device) => native().linalg.svdvals(control, source, device));
}

function handle(value: Tensor | ArrayWithShape, name: string): NativeTensor {
  return Tensor.handle(toTensor(value, name), name);
}

async function run<T>(options: LinalgOptions, call: (control: NativeJobControl, device: string) => Promise<T>): Promise<T> {
  const device = string(options.device ?? "cpu", "device");
  return runNative(optionalSignal(options.signal, "signal"), (control) => call(control, device));
}

async function tensorOf(
  options: LinalgOptions,
  call: (control: NativeJobControl, device: string) => Promise<NativeTensor>,
): Promise<Tensor> {
  return new Tensor(await run(options, call));
}

function named(found: readonly NativeNamedTensor[], name: string): NativeTensor {
  return (found.find((entry) => entry.name === name) as NativeNamedTensor).tensor;
}
