// Feeds a training run from sources: decodes its batches, a few ahead, and hands them over in the order in which the run takes them.

import { LibtorchOodError } from "../../core/errors";
import { Scope } from "../../core/scope";
import type { Augmentation } from "../../data/augmentation";
import type { ImageSource, SourceBatch } from "../../data/sources/source";
import type { OnError } from "../../images/failure";
import type { ImageGeometry } from "../../images/geometry";
import { callNative } from "../../native/call";
import { native, type NativeBatchQueue } from "../../native/surface";
import { Tensor } from "../../native/tensor";
import { ReadAhead } from "../read-ahead";

/** Batches in the queue, besides the one that is computed: decoding goes on in the source. */
const batchesAhead = 2;

/** What is fed. */
export interface Feed {
  /** Undefined where the images are in memory. */
  readonly training: ImageSource | undefined;
  readonly validation: ImageSource | undefined;
  readonly input: ImageGeometry;
  readonly batchSize: number;
  readonly augmentation: Augmentation;
  readonly seed: number;
  readonly shuffle: boolean;
  /** Names of the classes in the order of the network's labels, by which the validation images are labelled; undefined where the numbers count. */
  readonly classNames: readonly string[] | undefined;
  readonly numClasses: number;
  readonly onError: OnError;
  readonly maxPixels: number | undefined;
  /** The first epoch and its first batch, and the number of epochs. */
  readonly start: { readonly epoch: number; readonly batch: number };
  readonly epochs: number;
}

export class BatchFeeder {
  readonly queue: NativeBatchQueue = callNative(() => new (native().BatchQueue)());
  readonly #feed: Feed;
  readonly #stopped = new AbortController();
  #wake: () => void = () => undefined;
  /** Whether the run waits for a batch. */
  #wanted = false;
  #resume: () => void = () => undefined;

  constructor(feed: Feed) {
    this.#feed = feed;
  }

  /** The number of batches of an epoch; 0 where it is not known. */
  batchesOf(source: ImageSource): number {
    return source.length === undefined ? 0 : Math.ceil(source.length / this.#feed.batchSize);
  }

  /** The run has taken an entry of the queue. */
  taken(): void {
    this.#wake();
  }

  /** The run waits for an entry; `resume` goes on with it. */
  wanted(resume: () => void): void {
    this.#resume = resume;
    this.#wanted = true;
    if (this.queue.length > 0) this.#pushed();
  }

  /** Feeds all epochs. @throws what the sources throw; ERR_SHAPE for an epoch without images; ERR_OPTION and ERR_RANGE for images without a label of the network */
  async run(): Promise<void> {
    const { training, validation, start, epochs } = this.#feed;
    try {
      for (let epoch = start.epoch; epoch < epochs && !this.#isStopped; epoch++) {
        if (training !== undefined) await this.#pass(training, "train", epoch, epoch === start.epoch ? start.batch : 0);
        if (validation !== undefined) await this.#pass(validation, "validation", undefined, 0);
      }
    } catch (error) {
      if (!this.#isStopped) throw error; // what stopped the run says more
    }
  }

  /** Ends {@link run}, whatever it waits for, and frees what nobody will take. */
  stop(): void {
    this.#stopped.abort();
    this.#wake();
    this.queue.dispose();
  }

  /** One pass over a source. @param epoch - undefined: in the source's own order, without augmentation */
  async #pass(source: ImageSource, what: string, epoch: number | undefined, start: number): Promise<void> {
    const { batchSize, input, augmentation, seed, shuffle, onError, maxPixels } = this.#feed;
    const order = epoch === undefined ? {} : { order: { seed, epoch, shuffle }, augmentation };
    const { signal } = this.#stopped;
    const batches = source.batches({
      batchSize,
      input,
      ...order,
      start,
      onError,
      ...(maxPixels === undefined ? {} : { maxPixels }),
      signal,
    });
    const numberOf = epoch === undefined ? this.#numbersOf(source) : undefined;
    const reader = new ReadAhead(batches, signal); // a source of the caller's may never answer
    let images = 0;
    try {
      for (let next = await reader.next(); !next.done; next = await reader.next()) {
        const pushed = await this.#push(next.value, what, numberOf);
        if (this.#isStopped) return;
        images += pushed;
        if (pushed > 0) this.#pushed();
      }
    } finally {
      await reader.close();
    }
    if (images === 0 && start === 0) throw new LibtorchOodError("ERR_SHAPE", `${what}: expected at least one image, found none`);
    this.queue.pushEnd();
    this.#pushed();
  }

  /** Waits for room in the queue. Gives the number of images that it now has. */
  #push(batch: SourceBatch, what: string, numberOf: readonly number[] | undefined): Promise<number> {
    return Scope.run(async (scope) => {
      const images = scope.own(batch.images);
      if (batch.labels.length === 0) return 0;
      const labels = scope.own(Tensor.from(this.#checkLabels(batch, what, numberOf)));
      while (this.queue.length >= batchesAhead && !this.#isStopped) await new Promise<void>((resolve) => (this.#wake = resolve));
      if (this.#isStopped) return 0;
      callNative(() => this.queue.push(Tensor.handle(images, "images"), Tensor.handle(labels, "labels")));
      return labels.shape[0] as number;
    });
  }

  #pushed(): void {
    if (!this.#wanted) return;
    this.#wanted = false;
    this.#resume();
  }

  get #isStopped(): boolean {
    return this.#stopped.signal.aborted;
  }

  /** The network's numbers of a source's classes, where both have names and they differ. */
  #numbersOf({ classNames }: ImageSource): number[] | undefined {
    const wanted = this.#feed.classNames;
    if (classNames === undefined || wanted === undefined) return undefined;
    const numbers = new Map(wanted.map((name, label) => [name, label]));
    return classNames.map((name) => {
      const label = numbers.get(name);
      if (label === undefined)
        throw new LibtorchOodError("ERR_OPTION", `validation: expected classes of the training images, found ${JSON.stringify(name)}`);
      return label;
    });
  }

  #checkLabels({ labels, names }: SourceBatch, what: string, numbers: readonly number[] | undefined): Int32Array {
    const { numClasses } = this.#feed;
    return labels.map((given, i) => {
      if (given < 0) throw new LibtorchOodError("ERR_OPTION", `${what}: expected a label for each image, found none of ${names[i]}`);
      const label = numbers === undefined ? given : (numbers[given] as number);
      if (label < numClasses) return label;
      throw new LibtorchOodError("ERR_RANGE", `${what}: expected labels from 0 to ${numClasses - 1}, found ${label} of ${names[i]}`);
    });
  }
}
