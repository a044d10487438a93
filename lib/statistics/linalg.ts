// Matrix functions on tensors or typed arrays, single or batched: the building blocks of the method, natively.

import { boolean, describe, finite, integer, oneOf, optionalSignal, optionsObject, string } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import type { Labels } from "../core/labels";
import { classesIn, labelsTensor } from "../native/labels-tensor";
import { native, type NativeJobControl, type NativeNamedTensor, type NativeTensor } from "../native/surface";
import { runNative } from "../native/call";
import { Tensor, toTensor, type ArrayWithShape } from "../native/tensor";

/** Options that every function of linear algebra takes. */
export interface LinalgOptions {
  /** `"cpu"` (default), `"cuda"` or `"cuda:N"`; results come back to host memory. */
  device?: string;
  /** Aborts the call, which then throws ERR_ABORTED. A single large factorisation ends first. */
  signal?: AbortSignal;
}

/** Options of {@link covariance}. */
export interface CovarianceOptions extends LinalgOptions {
  /** Shape `[n]`, or `[..., n]` as x has rows; none negative: how often each row counts. Default: once. */
  weights?: Tensor | ArrayWithShape;
  /** Subtracted from the total weight to give the divisor. Default 1, as numpy.cov. */
  ddof?: number;
  /** Shape `[n]`: the class of each row, for `of: "classes"` and `"pooled"`. */
  labels?: Labels;
  /** Default: one more than the largest label. */
  numClasses?: number;
  /**
   * - `"global"` (default): of all rows, divisor Σw − ddof.
   * - `"classes"`: of each class about its own mean, divisor Σw_c − ddof, [C, d, d].
   * - `"pooled"`: within classes, Σ_c Σ w (x − x̄_c)(x − x̄_c)ᵀ with divisor Σw − ddof·C, C counting classes that have weight.
   */
  of?: "global" | "classes" | "pooled";
}

/** Options of {@link pinv}. */
export interface PinvOptions extends LinalgOptions {
  /** Singular values up to this share of the largest count as zero. Default max(m, n) times the machine epsilon of the dtype. */
  rcond?: number;
  /** Keep so many of the largest singular values instead. */
  rank?: number;
  /** The matrix is symmetric, or its two triangles' mean is taken: eigenvalues serve, which is faster. Default false. */
  hermitian?: boolean;
}

/** Options of {@link cholesky}. */
export interface CholeskyOptions extends LinalgOptions {
  /**
   * Added to the diagonal where needed: `0` (default, none) or another number; `"relative"`: the smallest 10^k·tr(A)/d for which min L_ii² ≥
   * d·eps·max L_ii² and each A_ii·(A⁻¹)_ii ≤ 1/(1000·d·eps), each matrix for itself; `"ddu"`: the first value of the DDU code's list that serves all matrices.
   */
  jitter?: "relative" | "ddu" | number;
}

const linalgKeys = ["device", "signal"] as const;

/**
 * Covariance of the rows of x in float64 whatever the dtype: Σ w (x − x̄)(x − x̄)ᵀ / (Σw − ddof), two-pass; of one matrix, each of a batch, or
 * by class. Where the rows do not fit in memory: {@link ClassStatistics.covariance}.
 *
 * @param x [..., n, d], float32 or float64; [n, d] with labels
 * @returns float64 [..., d, d]; [C, d, d] for `of: "classes"`
 * @throws ERR_SHAPE (also where the weight, of a class or in all, does not exceed ddof), ERR_NON_FINITE naming the row, ERR_RANGE for a
 *   negative weight, a label outside 0 to C − 1 or a covariance beyond float64, ERR_DTYPE, ERR_OPTION where only one of `labels` and `of` is given
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
 * Moore-Penrose pseudoinverse of one matrix or each of a batch.
 *
 * @param matrix [..., m, n], float32 or float64
 * @returns [..., n, m], same dtype
 * @throws ERR_SHAPE, ERR_NON_FINITE, ERR_DTYPE, ERR_OPTION where both `rcond` and `rank` are given; ERR_RANGE where a matrix that was called
 *   Hermitian is not, or the result is beyond the dtype
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
 * @param matrix [..., d, d], symmetric; where the triangles differ by rounding, their mean is taken
 * @returns the factor, same shape and dtype, and the jitter of each matrix of the batch
 * @throws ERR_NOT_POSITIVE_DEFINITE, ERR_SHAPE, ERR_NON_FINITE, ERR_DTYPE; ERR_RANGE where a matrix is not symmetric (beyond 1e-10 of its largest
 *   entry, 1e-4 in float32), or the jitter takes it beyond its dtype
 */
export async function cholesky(
  matrix: Tensor | ArrayWithShape,
  options: CholeskyOptions = {},
): Promise<{
  /** The lower factors, of the shape of the input. */
  factor: Tensor;
  /** What was added to each diagonal. */
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
 * Sign and natural logarithm of the absolute determinant of each matrix of a batch, in float64; sign 0 and −Infinity where it is singular.
 *
 * @param matrix [..., d, d]
 * @throws ERR_SHAPE, ERR_NON_FINITE, ERR_DTYPE
 */
export async function logdet(
  matrix: Tensor | ArrayWithShape,
  options: LinalgOptions = {},
): Promise<{
  /** −1, 0 or 1 for each matrix. */
  sign: Float64Array;
  /** The natural logarithm of the magnitude for each matrix; −Infinity for a singular one. */
  logarithm: Float64Array;
}> {
  const source = handle(matrix, "matrix");
  const rest = optionsObject(options, "options", linalgKeys);
  const found = await run(rest, (control, device) => native().linalg.logdet(control, source, device));
  const [sign, logarithm] = ["sign", "logarithm"].map((name) => named(found, name).toTypedArray()) as [Float64Array, Float64Array];
  return { sign, logarithm };
}

/**
 * Eigenvalues, ascending, and eigenvectors, in columns, of symmetric matrices.
 *
 * @param matrix [..., d, d]; where the triangles differ by rounding, their mean is taken
 * @returns values [..., d] and vectors [..., d, d], same dtype
 * @throws ERR_SHAPE, ERR_NON_FINITE, ERR_DTYPE; ERR_RANGE where a matrix is not symmetric, or an eigenvalue is beyond the dtype
 */
export async function eigh(
  matrix: Tensor | ArrayWithShape,
  options: LinalgOptions = {},
): Promise<{
  /** Eigenvalues, ascending. */
  values: Tensor;
  /** Eigenvectors in columns, in the order of the values. */
  vectors: Tensor;
}> {
  const source = handle(matrix, "matrix");
  const rest = optionsObject(options, "options", linalgKeys);
  const found = await run(rest, (control, device) => native().linalg.eigh(control, source, device));
  return { values: new Tensor(named(found, "values")), vectors: new Tensor(named(found, "vectors")) };
}

/**
 * Singular values, descending, of each matrix of a batch.
 *
 * @param matrix [..., m, n]
 * @returns [..., min(m, n)], same dtype
 * @throws ERR_SHAPE, ERR_NON_FINITE, ERR_DTYPE; ERR_RANGE where one is beyond the dtype
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
