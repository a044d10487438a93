// Images that cannot be decoded: which errors are an image's own fault, and what becomes of such an image.

import { setImmediate as turn } from "node:timers/promises";
import { fail } from "../core/checks";
import { isLibtorchOodError, type ErrorCode, type LibtorchOodError } from "../core/errors";
import { untilAborted } from "../native/call";

/** An image that was left out. */
export interface ImageFailure {
  /** Its place among the images of the call, from 0. */
  readonly index: number;
  /** Its path; "images[3]" for one without. */
  readonly path: string;
  /** ERR_CORRUPT_FILE, ERR_IO, or ERR_SHAPE for another size with resize "none". */
  readonly code: ErrorCode;
  /** The message of `error`. */
  readonly reason: string;
  /** The error that decoding the image threw. */
  readonly error: LibtorchOodError;
}

/**
 * What becomes of images that cannot be decoded.
 * - `"throw"`: the first one ends the call with its error;
 * - `"skip"`: they are left out, and the others keep their order;
 * - a function: the same, and it is told of each, in order. What it throws, or what its promise rejects with, ends the call.
 */
export type OnError = "throw" | "skip" | ((failure: ImageFailure) => void | Promise<void>);

/** @throws ERR_OPTION */
export function checkOnError(value: OnError | undefined): OnError {
  if (value === undefined) return "throw";
  if (value !== "throw" && value !== "skip" && typeof value !== "function")
    fail("ERR_OPTION", "onError", '"throw", "skip" or a function', value);
  return value;
}

/** Errors of one image alone; others (no sharp, no memory, an abort) would befall every image. */
export function isImageFault(error: unknown): error is LibtorchOodError {
  return isLibtorchOodError(error) && ["ERR_CORRUPT_FILE", "ERR_IO", "ERR_SHAPE"].includes(error.code);
}

export function imageFailure(index: number, path: string, error: LibtorchOodError): ImageFailure {
  return { index, path, code: error.code, reason: error.message, error };
}

/** Told of before the event loop turns: about a millisecond. */
const failuresPerTurn = 256;

/** Faults as {@link ImageFailure}s in the order of the images, each told to `onError`. @throws ERR_ABORTED, and what `onError` throws */
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
