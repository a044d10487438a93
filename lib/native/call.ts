// Runs native calls: connects an asynchronous call with its AbortSignal, and turns every error of the addon into a LibtorchOodError that carries the
// caller's stack.

import { errorCodes, isLibtorchOodError, LibtorchOodError, type ErrorCode } from "../core/errors";
import { native, type NativeJobControl } from "./surface";

/** Turns an error of the addon into a LibtorchOodError; anything else passes through unchanged. */
export function toLibtorchOodError(error: unknown, callerStack?: string): unknown {
  if (isLibtorchOodError(error)) return error;
  const code = (error as { code?: unknown } | null)?.code;
  if (!errorCodes.includes(code as ErrorCode)) return error;
  const typed = new LibtorchOodError(code as ErrorCode, (error as Error).message);
  if (callerStack !== undefined) {
    const frames = callerStack.indexOf("\n");
    typed.stack = `${typed.name}: ${typed.message}${frames < 0 ? "" : callerStack.slice(frames)}`;
  }
  return typed;
}

/** Runs a synchronous native call with its errors typed. */
export function callNative<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw toLibtorchOodError(error, error instanceof Error ? error.stack : undefined);
  }
}

/**
 * Runs `start` with a fresh control that `signal` cancels.
 * Rejects with ERR_ABORTED (its `cause` is the signal's reason) after an abort.
 */
export async function runNative<T>(signal: AbortSignal | undefined, start: (control: NativeJobControl) => Promise<T>): Promise<T> {
  const callerStack = new Error().stack;
  if (signal?.aborted) throw abortError(signal);
  const control = new (native().JobControl)();
  const forget = signal && onAbort(signal, () => control.cancel());
  try {
    return await given(start(control));
  } catch (error) {
    if (signal?.aborted && (error as { code?: unknown }).code === "ERR_ABORTED") throw abortError(signal, callerStack);
    throw toLibtorchOodError(error, callerStack);
  } finally {
    forget?.();
  }
}

/**
 * The addon's answer. In a worker that is being terminated the addon cannot answer.
 *
 * @throws ERR_ABORTED where there is no answer
 */
export function given<T>(answer: T): T {
  if (answer === undefined) throw new LibtorchOodError("ERR_ABORTED", "the worker is ending");
  return answer;
}

/** The callbacks of each signal that has a listener of ours. */
const listeners = new WeakMap<AbortSignal, { callbacks: Set<() => void>; listener: () => void }>();

/**
 * Calls back when the signal is aborted, and returns a function that ends that. All calls that share a signal share one listener, because Node.js
 * warns of a leak at more than ten.
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const shared = listeners.get(signal) ?? listenTo(signal);
  shared.callbacks.add(callback);
  return () => {
    if (!shared.callbacks.delete(callback) || shared.callbacks.size > 0) return;
    listeners.delete(signal);
    signal.removeEventListener("abort", shared.listener);
  };
}

/** What the promise gives, or ERR_ABORTED at once on an abort. For promises of the caller's, which may never settle. */
export async function untilAborted<T>(promise: PromiseLike<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  let forget: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    const abort = (): void => reject(abortError(signal));
    if (signal.aborted) abort();
    else forget = onAbort(signal, abort);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    forget();
  }
}

function listenTo(signal: AbortSignal) {
  const callbacks = new Set<() => void>();
  const listener = (): void => {
    for (const callback of [...callbacks]) callback();
  };
  signal.addEventListener("abort", listener);
  const shared = { callbacks, listener };
  listeners.set(signal, shared);
  return shared;
}

/**
 * Runs the body of a public function that awaits before it computes. Where the stack of an error of the library does not reach the caller any more,
 * the caller's frames are added to it.
 *
 * @param entry - the public function: its own frame and those below are left out
 */
export async function calledFrom<T>(entry: (...args: never) => unknown, body: () => Promise<T>): Promise<T> {
  const caller: { stack?: string } = {};
  Error.captureStackTrace(caller, entry);
  try {
    return await body();
  } catch (error) {
    const frames = caller.stack?.split("\n").slice(1) ?? [];
    if (isLibtorchOodError(error) && frames[0] !== undefined && !error.stack?.includes(frames[0].trim())) {
      error.stack = [error.stack, ...frames].join("\n");
    }
    throw error;
  }
}

/** The error of an aborted call; `cause` is what the caller passed to `abort()`. */
export function abortError(signal: AbortSignal, callerStack?: string): LibtorchOodError {
  const error = new LibtorchOodError("ERR_ABORTED", "the operation was aborted", { cause: signal.reason });
  if (callerStack !== undefined) {
    const frames = callerStack.indexOf("\n");
    error.stack = `${error.name}: ${error.message}${frames < 0 ? "" : callerStack.slice(frames)}`;
  }
  return error;
}

/**
 * A user's callback, made safe to call from a native event. When it throws, or the promise that it returns rejects, the call is cancelled and no
 * further event is delivered; {@link CallbackGuard.rethrow} then raises that very error in place of ERR_ABORTED.
 */
export class CallbackGuard {
  #thrown: { error: unknown } | undefined;
  readonly #promised = new Set<Promise<void>>();

  constructor(private readonly cancel: () => void) {}

  /** The guarded callback. It returns undefined, or a promise that resolves when the promise of the callback is over. */
  wrap<Args extends unknown[]>(callback: (...args: Args) => unknown): (...args: Args) => Promise<void> | undefined {
    return (...args) => {
      if (this.#thrown) return undefined;
      try {
        const result = callback(...args);
        if (isThenable(result)) return this.#follow(result);
      } catch (error) {
        this.fail(error);
      }
      return undefined;
    };
  }

  /** Records the first error and cancels the call. */
  fail(error: unknown): void {
    this.#thrown ??= { error };
    this.cancel();
  }

  /** Throws the recorded error, if any. */
  rethrow(): void {
    if (this.#thrown) throw this.#thrown.error;
  }

  /**
   * Waits for the promises that callbacks returned, or for the first of them to reject, and rethrows.
   *
   * @throws ERR_ABORTED on an abort: the promises may never settle
   */
  async finish(signal: AbortSignal | undefined): Promise<void> {
    while (this.#promised.size > 0 && !this.#thrown) await untilAborted(Promise.race(this.#promised), signal);
    this.rethrow();
  }

  #follow(result: PromiseLike<unknown>): Promise<void> {
    const settled: Promise<void> = Promise.resolve(result)
      .then(
        () => undefined,
        (error: unknown) => this.fail(error),
      )
      .finally(() => this.#promised.delete(settled));
    this.#promised.add(settled);
    return settled;
  }
}

/** Whether the value is a promise. It is told by its shape, because it may come from another realm or be a library's own. */
function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}
