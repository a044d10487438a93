// Images that cannot be decoded: which errors are an image's own fault, and what happens with such an image.

import { setImmediate as turn } from "node:timers/promises";
import { fail, oneOf } from "../core/checks";
import { isLibtorchOodError, type ErrorCode, type LibtorchOodError } from "../core/errors";
import { untilAborted } from "../native/call";

/** An image that was left out. */
export interface ImageFailure {
  /** Place of the image among the images of the call, from 0. */
  readonly index: number;
  /** Path of the image; "images[3]" for one without. */
  readonly path: string;
  /** ERR_CORRUPT_FILE if it could not be decoded, ERR_IO if its file could not be read, ERR_SHAPE if it had another size with resize "none". */
  readonly code: ErrorCode;
  /** Message of `error`. */
  readonly reason: string;
  /** The error that decoding the image threw. */
  readonly error: LibtorchOodError;
}

/**
 * What happens with images that cannot be decoded.
 * - `"throw"`: the first one ends the call with its error.
 * - `"skip"`: they are left out, and the others keep their order.
 * - A function: they are left out, and the function is told of each, in order. An error that it throws, or that its promise rejects with, ends the call.
 */
export type OnError = "throw" | "skip" | ((failure: ImageFailure) => void | Promise<void>);

/** The option `onError`, by default "throw". @throws ERR_OPTION for anything but "throw", "skip" or a function */
export function checkOnError(value: OnError | undefined): OnError {
  if (value === undefined) return "throw";
  if (value !== "throw" && value !== "skip" && typeof value !== "function")
    fail("ERR_OPTION", "onError", '"throw", "skip" or a function', value);
  return value;
}

/** What becomes of an image file whose end is missing: it cannot be decoded, or what is there of it is taken. */
export type Truncated = "refuse" | "accept";

/** The option `truncated`, by default "refuse". @throws ERR_OPTION for anything but "refuse" or "accept" */
export function checkTruncated(value: Truncated | undefined): Truncated {
  return oneOf(value ?? "refuse", "truncated", ["refuse", "accept"]);
}

/** Whether an error is the fault of one image alone. Others (no sharp, no memory, an abort) would meet every image. */
export function isImageFault(error: unknown): error is LibtorchOodError {
  return isLibtorchOodError(error) && ["ERR_CORRUPT_FILE", "ERR_IO", "ERR_SHAPE"].includes(error.code);
}

export function imageFailure(index: number, path: string, error: LibtorchOodError): ImageFailure {
  return { index, path, code: error.code, reason: error.message, error };
}

/** Failures that are reported before the event loop turns: about a millisecond. */
const failuresPerTurn = 256;

/**
 * The faults as {@link ImageFailure}s in the order of the images. It tells `onError` of each.
 *
 * @throws ERR_ABORTED after an abort, and what `onError` throws
 */
export async function reportFaults(
  faults: ReadonlyMap<number, LibtorchOodError>,
  nameOf: (index: number) => string,
  onError: OnError,
  signal: AbortSignal | undefined,
): Promise<ImageFailure[]> {
  const failures = [...faults].sort(([a], [b]) => a - b).map(([index, error]) => imageFailure(index, nameOf(index), error));
  if (typeof onError === "function") {
    // A copy: what the caller does to it is not to change which rows are left out.
    for (const [i, failure] of failures.entries()) {
      if (i % failuresPerTurn === failuresPerTurn - 1) await turn(); // promises alone leave timers waiting
      await untilAborted(Promise.resolve(onError({ ...failure })), signal);
    }
  }
  return failures;
}
