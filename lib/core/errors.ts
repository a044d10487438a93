// The one error class of the library and the closed list of its codes.

/** Every `code` that a {@link LibtorchOodError} can carry. */
export const errorCodes = [
  "ERR_LIBTORCH_NOT_FOUND",
  "ERR_LIBTORCH_VERSION",
  "ERR_SHAPE",
  "ERR_DTYPE",
  "ERR_RANGE",
  "ERR_NON_FINITE",
  "ERR_NOT_POSITIVE_DEFINITE",
  "ERR_CORRUPT_FILE",
  "ERR_DISPOSED",
  "ERR_ABORTED",
  "ERR_DEVICE",
  "ERR_OPTION",
  "ERR_IO",
  "ERR_OUT_OF_MEMORY",
  "ERR_BUSY",
  "ERR_SHARP_NOT_FOUND",
  "ERR_PLOT_NOT_FOUND",
  "ERR_ONNXRUNTIME_NOT_FOUND",
  "ERR_INTERNAL",
] as const;

/**
 * Every `code` of a {@link LibtorchOodError}.
 *
 * - `"ERR_LIBTORCH_NOT_FOUND"`: no libtorch was found that serves. The message lists each place that was searched and the command that fixes it. Any
 *   function that computes natively may throw it at its first use.
 * - `"ERR_LIBTORCH_VERSION"`: the libtorch found has another version than the addon was compiled for.
 * - `"ERR_SHAPE"`: an array has another shape or length than is needed, is empty, or has lost its memory to a worker.
 * - `"ERR_DTYPE"`: an array or tensor has the wrong element type.
 * - `"ERR_RANGE"`: a number is outside its range, or a result does not fit in its dtype.
 * - `"ERR_NON_FINITE"`: NaN or infinity in an input.
 * - `"ERR_NOT_POSITIVE_DEFINITE"`: a covariance or another matrix has no Cholesky factor.
 * - `"ERR_CORRUPT_FILE"`: a file is damaged or of another format.
 * - `"ERR_DISPOSED"`: an object was used after its memory was given back.
 * - `"ERR_ABORTED"`: an AbortSignal ended the call; `cause` is the signal's reason.
 * - `"ERR_DEVICE"`: the device is unavailable, or CUDA failed.
 * - `"ERR_OPTION"`: an argument has the wrong type, or an option is unknown or does not go with another one.
 * - `"ERR_IO"`: a file or folder cannot be read or written; `cause` is the operating system's error.
 * - `"ERR_OUT_OF_MEMORY"`: memory is unavailable.
 * - `"ERR_BUSY"`: another use of the object is under way.
 * - `"ERR_SHARP_NOT_FOUND"`: decoding images needs the optional peer dependency sharp, which is not installed.
 * - `"ERR_PLOT_NOT_FOUND"`: plotting needs an optional peer dependency that is not installed.
 * - `"ERR_ONNXRUNTIME_NOT_FOUND"`: ONNX models need optional peer dependencies that are not installed.
 * - `"ERR_INTERNAL"`: libtorch or onnxruntime failed in a way that none of the others describes.
 */
export type ErrorCode = (typeof errorCodes)[number];

/**
 * The error that every function of the library throws or rejects with. The message gives the value found and the value expected. Programs look at
 * `code`. `cause` is the underlying error, where there is one.
 *
 * @example
 * import { files, isLibtorchOodError } from "libtorch-ood";
 *
 * try {
 *   await files.readNpy("features.npy");
 * } catch (error) {
 *   if (!isLibtorchOodError(error) || error.code !== "ERR_IO") throw error;
 *   console.error(`no features yet: ${error.message}`);
 * }
 */
export class LibtorchOodError extends Error {
  /** Always `"LibtorchOodError"`. */
  override readonly name = "LibtorchOodError";
  /** What went wrong, for programs. */
  readonly code: ErrorCode;

  /**
   * Makes an error. Messages above 1000 characters are shortened in the middle, except those that list where libtorch was searched.
   *
   * @param code - what went wrong
   * @param message - the value found and the value expected
   * @param options - `cause`, where another error lies behind this one
   */
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(wholeMessages.includes(code) ? message : bounded(message), options);
    this.code = code;
  }
}

const mostCharacters = 1000;
/** These list every place where libtorch was searched. */
const wholeMessages: readonly ErrorCode[] = ["ERR_LIBTORCH_NOT_FOUND", "ERR_LIBTORCH_VERSION"];

/** A found value may come from a file of any size; the beginning says where and what was expected, the end what was found. */
function bounded(message: string): string {
  if (typeof message !== "string" || message.length <= mostCharacters) return message;
  return `${message.slice(0, mostCharacters - 203)} … ${message.slice(-200)}`;
}

/**
 * Whether a value is an error of this library. Errors of another copy of the library and of another realm count too, which `instanceof` would miss.
 *
 * @param error - any value, such as what `catch` caught
 */
export function isLibtorchOodError(error: unknown): error is LibtorchOodError {
  return (
    typeof error === "object" &&
    error !== null &&
    (error as { name?: unknown }).name === "LibtorchOodError" &&
    errorCodes.includes((error as { code?: unknown }).code as ErrorCode)
  );
}
