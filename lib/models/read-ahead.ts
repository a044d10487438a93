// Reads an iterable one element ahead, so that the next is fetched while one is computed; closes it as `for await` does.

import { describe, fail } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { untilAborted } from "../native/call";

export class ReadAhead<T> {
  readonly #iterator: AsyncIterator<T> | Iterator<T>;
  #read: Promise<IteratorResult<T>> | undefined;
  /** Whether an element was asked for that has not come yet. */
  #waiting = false;
  /** Whether the source has ended or failed, so that there is nothing to close. */
  #over = false;

  /** @throws ERR_OPTION where `source` is not iterable */
  constructor(
    source: AsyncIterable<T> | Iterable<T>,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.#iterator = iteratorOf(source);
  }

  /** Asks for the next element now; {@link next} gives it. */
  prefetch(): void {
    this.#waiting = true;
    this.#read = new Promise<IteratorResult<T>>((resolve) => resolve(this.#iterator.next())).then(
      (result) => {
        if (typeof result !== "object" || result === null) fail("ERR_OPTION", "source", "next() to give { value, done }", result);
        this.#waiting = false;
        this.#over = result.done === true;
        return result;
      },
      (error: unknown) => {
        this.#waiting = false;
        this.#over = true;
        throw error;
      },
    );
    this.#read.catch(() => undefined); // next() reports it; until then it must not count as unhandled
  }

  /** The element asked for last (or now). Rejects with what the source throws, or with ERR_ABORTED at once on an abort. */
  async next(): Promise<IteratorResult<T>> {
    if (this.#read === undefined) this.prefetch();
    const read = this.#read as Promise<IteratorResult<T>>;
    this.#read = undefined;
    return untilAborted(read, this.signal);
  }

  /** Tells the source that no more is wanted, after a failure elsewhere: what closing throws matters less and is dropped. */
  async close(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    const closed = new Promise((resolve) => resolve(this.#iterator.return?.())).catch(() => undefined);
    // A generator closes only after the element it is at, for which it may wait without end.
    if (!this.#waiting) await closed;
  }
}

function iteratorOf<T>(source: AsyncIterable<T> | Iterable<T>): AsyncIterator<T> | Iterator<T> {
  if (typeof source === "object" && source !== null) {
    const { [Symbol.asyncIterator]: asynchronous, [Symbol.iterator]: synchronous } = source as Partial<AsyncIterable<T> & Iterable<T>>;
    const method = (asynchronous ?? synchronous) as ((this: unknown) => unknown) | undefined; // null is none, as for "for await"
    const iterator = typeof method === "function" ? method.call(source) : undefined;
    if (isIterator(iterator)) return iterator as AsyncIterator<T> | Iterator<T>;
  }
  throw new LibtorchOodError("ERR_OPTION", `source: expected an iterable of images, found ${describe(source)}`);
}

function isIterator(value: unknown): boolean {
  return typeof value === "object" && value !== null && typeof (value as { next?: unknown }).next === "function";
}
