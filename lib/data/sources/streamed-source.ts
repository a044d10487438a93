// A source over what comes as it comes, once or again for each epoch: an iterable of paths or images, the members of tar shards.

import { fail, integer } from "../../core/checks";
import { LibtorchOodError } from "../../core/errors";
import { decodedBatches, checkBatchOptions } from "./batches";
import { identity } from "./identity";
import { shuffled, type SourceItem } from "./items";
import type { BatchOptions, ImageSource, SourceBatch, SourceOrder } from "./source";

const usualBuffer = 1024;

/** What a streamed source is made of. */
export interface StreamedSourceParts {
  readonly length: number | undefined;
  readonly classNames: readonly string[] | undefined;
  /** Number of items that are held to be drawn from. */
  readonly shuffleBuffer: number | undefined;
  /** The items of an epoch. With an order it may order what it opens; the buffer shuffles the rest. */
  readonly items: (order: SourceOrder | undefined) => AsyncIterable<SourceItem>;
  readonly identity?: () => Promise<string>;
}

/** Images that come one after the other. At random they come through a bounded buffer. */
export class StreamedSource implements ImageSource {
  /** Number of images, where the caller knows it. */
  readonly length: number | undefined;
  /** Name of each class, in label order; undefined where there are none. */
  readonly classNames: readonly string[] | undefined;
  readonly #parts: StreamedSourceParts;
  readonly #buffer: number;

  /** @internal @throws ERR_OPTION, ERR_RANGE */
  constructor(parts: StreamedSourceParts) {
    this.length = parts.length === undefined ? undefined : integer(parts.length, "length", 1);
    this.classNames = parts.classNames;
    this.#buffer = integer(parts.shuffleBuffer ?? usualBuffer, "shuffleBuffer", 1, 1 << 24);
    this.#parts = parts;
  }

  /**
   * @internal A source over an iterable, or over those that a function gives.
   *
   * @throws ERR_OPTION for anything else
   */
  static of(
    given: unknown,
    toItem: (value: unknown, index: number) => SourceItem,
    options: { length?: number; classNames: readonly string[] | undefined; shuffleBuffer?: number },
  ): StreamedSource {
    const repeats = typeof given === "function";
    if (!repeats) requireIterable(given);
    let read = false;
    const items = async function* (): AsyncGenerator<SourceItem, void, undefined> {
      if (!repeats && read) {
        throw new LibtorchOodError("ERR_OPTION", "source: expected a function that gives an iterable for each pass, found an iterable, which was read");
      }
      read = true;
      const iterable = repeats ? requireIterable((given as () => unknown)()) : requireIterable(given);
      let index = 0;
      for await (const value of iterable) yield toItem(value, index++);
    };
    const { length, classNames, shuffleBuffer } = options;
    return new StreamedSource({ length, classNames, shuffleBuffer, items });
  }

  /** Decodes the images batch by batch: see {@link ImageSource.batches}. @throws ERR_OPTION, ERR_RANGE; what the iterable throws; and what decoding throws, see {@link ResNet.extract} */
  batches(options: BatchOptions): AsyncIterable<SourceBatch> {
    const checked = checkBatchOptions(options);
    const { order } = checked;
    if (order === undefined || order.shuffle === false) return decodedBatches(this.#parts.items(undefined), checked);
    return decodedBatches(shuffled(this.#parts.items(order), this.#buffer, order), checked);
  }

  /** @internal */
  async [identity](): Promise<string> {
    return `${this.#buffer} ${(await this.#parts.identity?.()) ?? ""}`;
  }
}

function requireIterable(value: unknown): AsyncIterable<unknown> | Iterable<unknown> {
  const object = (typeof value === "object" ? value : undefined) as Partial<AsyncIterable<unknown> & Iterable<unknown>> | null | undefined;
  if (typeof object?.[Symbol.asyncIterator] === "function" || typeof object?.[Symbol.iterator] === "function") {
    return object as AsyncIterable<unknown>;
  }
  return fail("ERR_OPTION", "source", "an iterable, or a function that gives one", value);
}
