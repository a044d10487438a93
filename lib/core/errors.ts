// The one error class of the library and its closed list of codes.

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
  "ERR_INTERNAL",
] as const;

/** The codes of errors: one of those that the guide to errors explains, `"ERR_OPTION"` or `"ERR_SHAPE"` for example. */
export type ErrorCode = (typeof errorCodes)[number];

/**
 * What every function of the library throws or rejects with. The message gives the value found and the value expected;
 * `code` is for programs; `cause` is the underlying error where there is one.
 */
export class LibtorchOodError extends Error {
  /** Always `"LibtorchOodError"`. */
  override readonly name = "LibtorchOodError";
  /** What went wrong, for programs. */
  readonly code: ErrorCode;

  /** Makes an error of the library; programs receive such errors and need not make any. */
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(wholeMessages.includes(code) ? message : bounded(message), options);
    this.code = code;
  }
}

const mostCharacters = 1000;
/** They list every place where libtorch was looked for. */
const wholeMessages: readonly ErrorCode[] = ["ERR_LIBTORCH_NOT_FOUND", "ERR_LIBTORCH_VERSION"];

/** A found value may come from a file of any size; the beginning says where and what was expected, the end what was found. */
function bounded(message: string): string {
  if (typeof message !== "string" || message.length <= mostCharacters) return message;
  return `${message.slice(0, mostCharacters - 203)} … ${message.slice(-200)}`;
}

/** True for an error of this library, also one from another copy of it or another realm. */
export function isLibtorchOodError(error: unknown): error is LibtorchOodError {
  return (
    typeof error === "object" &&
    error !== null &&
    (error as { name?: unknown }).name === "LibtorchOodError" &&
    errorCodes.includes((error as { code?: unknown }).code as ErrorCode)
  );
}
