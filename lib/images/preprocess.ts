// Hands decoded images over to the compute thread, many in one job, and keeps what is in memory at a time within bounds.

import type { NativeDecodedImage, NativeTensor } from "../native/surface";
import { native } from "../native/surface";
import { runNative } from "../native/call";
import type { ImageGeometry } from "./geometry";

/** Decoded pixels in memory: those that are being decoded, wait or are worked on. One image may be larger, when it is alone. */
const bytesInMemory = 128 << 20;
/** What one job takes; as soon as there is as much, it begins. The first jobs are smaller, so that progress is told of, and an abort heard, early. */
const imagesPerJob = 32;
const bytesPerJob = 16 << 20;
const jobsBeforeItGrows = 16;

/** A decoded image, the row that it becomes, and the bytes that were reserved for it. */
interface Waiting {
  readonly image: NativeDecodedImage;
  readonly row: number;
  readonly reserved: number;
}

/** Preprocesses the images of one call: while one job runs on the compute thread, the next images are decoded. */
export class Preprocessor {
  readonly #geometry: ImageGeometry;
  readonly #destination: NativeTensor | Uint8Array;
  readonly #signal: AbortSignal | undefined;
  readonly #onDone: (row: number) => void;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #bytes = 0;
  #done = 0;
  #blocked: (() => void)[] = [];
  #running: Promise<void> | undefined;
  #failure: { error: unknown } | undefined;

  /**
   * @param destination - rows of channels · size · size bytes. It belongs to the call: nobody else touches it until {@link finish} has settled
   * @param onDone - function that is told of each row that is there
   */
  constructor(
    geometry: ImageGeometry,
    destination: NativeTensor | Uint8Array,
    signal: AbortSignal | undefined,
    onDone: (row: number) => void,
  ) {
    this.#geometry = geometry;
    this.#destination = destination;
    this.#signal = signal;
    this.#onDone = onDone;
  }

  /** Waits until so many bytes of pixels more fit into memory. @throws what a job has thrown */
  async reserve(bytes: number): Promise<void> {
    this.#rethrow();
    while (this.#bytes > 0 && this.#bytes + bytes > bytesInMemory) {
      const released = new Promise<void>((resolve) => this.#blocked.push(resolve));
      this.#begin(); // however few wait: their memory is wanted
      await released;
      this.#rethrow();
    }
    this.#bytes += bytes;
  }

  /** Gives back what was reserved for an image that could not be decoded. */
  release(bytes: number): void {
    this.#bytes -= bytes;
    this.#wake();
  }

  /** Takes a decoded image, which becomes `row`. Nobody else may write to its pixels. */
  add(image: NativeDecodedImage, row: number, reserved: number): void {
    this.#waiting.push({ image, row, reserved });
    this.#waitingBytes += image.pixels.length;
    if (this.#isJob()) this.#begin();
  }

  /** Waits until all images are done. @throws what a job has thrown, and what `onDone` has */
  async finish(): Promise<void> {
    for (this.#begin(); this.#running !== undefined; this.#begin()) await this.#running;
    this.#rethrow();
  }

  #isJob(): boolean {
    const enough = Math.min(imagesPerJob, 1 + this.#done / jobsBeforeItGrows);
    return this.#waiting.length >= enough || this.#waitingBytes >= bytesPerJob || this.#blocked.length > 0;
  }

  #begin(): void {
    if (this.#running !== undefined || this.#waiting.length === 0 || this.#failure !== undefined) return;
    const job = this.#waiting.splice(0, imagesPerJob);
    for (const { image } of job) this.#waitingBytes -= image.pixels.length;
    this.#running = this.#run(job).then(() => {
      this.#running = undefined;
      if (this.#isJob()) this.#begin();
    });
  }

  async #run(job: readonly Waiting[]): Promise<void> {
    try {
      const images = job.map(({ image }) => image);
      const rows = job.map(({ row }) => row);
      await runNative(this.#signal, (control) => native().preprocessImages(control, images, this.#geometry, this.#destination, rows));
      this.#done += rows.length;
      for (const row of rows) this.#onDone(row);
    } catch (error) {
      this.#failure ??= { error };
    }
    for (const { reserved } of job) this.#bytes -= reserved;
    this.#wake();
  }

  #wake(): void {
    const blocked = this.#blocked;
    this.#blocked = [];
    for (const resolve of blocked) resolve();
  }

  #rethrow(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
