// A batch of images for a model outside libtorch: normalised pixels in JavaScript memory, made a few images at a time so that the event loop turns.

import { LibtorchOodError, isLibtorchOodError } from "../core/errors";
import type { Normalization } from "../data/normalization";
import { callNative, runNative } from "../native/call";
import { native, type NativeTensor } from "../native/surface";
import { inBatch } from "./batch-rows";

/** Images that are normalised and copied at once: about two milliseconds. */
const pieceElements = 1 << 20;

/** A batch of images, as the function of {@link defineExtractor} gets it. */
export interface ImageBatch {
  /** Number n of images. */
  readonly count: number;
  /** Sizes [n, C, H, W]. */
  readonly shape: readonly [number, number, number, number];
  /** The images as the model's `input` says: (pixel − mean) / std, float32, row-major in the order of `shape` (NCHW). */
  readonly data: Float32Array;
  /** The pixels 0 … 255 before normalisation, in the same order; undefined where the caller of `extract` gave floats. They are copied at the first look. */
  readonly pixels: Uint8Array | undefined;
  /** The signal of the call; undefined where it has none. */
  readonly signal: AbortSignal | undefined;
}

/** Which images of a call a batch holds. */
export interface BatchRange {
  /** Number of the batch in the call, from 0. */
  readonly index: number;
  /** The first image, and one more than the last. */
  readonly start: number;
  readonly end: number;
}

/** "batch 3 (images 128 to 191)": batches count from 1, images from 0. */
export function batchName({ index, start, end }: BatchRange): string {
  return `batch ${index + 1} (${end - start === 1 ? `image ${start}` : `images ${start} to ${end - 1}`})`;
}

/** An {@link ImageBatch} that its call disposes of. */
export class OwnedBatch implements ImageBatch {
  readonly #images: NativeTensor;
  readonly #data: Float32Array | undefined;
  #pixels: Uint8Array | undefined;

  private constructor(
    images: NativeTensor,
    readonly shape: readonly [number, number, number, number],
    data: Float32Array | undefined,
    readonly signal: AbortSignal | undefined,
  ) {
    this.#images = images;
    this.#data = data;
  }

  /** A batch of uint8 images [N, C, H, W] that has pixels only: its model makes the floats itself. @throws ERR_OUT_OF_MEMORY */
  static ofPixels(images: NativeTensor, { start, end }: BatchRange, signal?: AbortSignal): OwnedBatch {
    const [, ...sizes] = images.shape as [number, number, number, number];
    const batch = new OwnedBatch(
      callNative(() => images.slice(start, end)),
      [end - start, ...sizes],
      undefined,
      signal,
    );
    void batch.pixels; // copied now, while the batch before is computed
    return batch;
  }

  /**
   * @param images - uint8, float32 or float64 [N, C, H, W]
   * @throws ERR_NON_FINITE for NaN or infinity in the images; ERR_ABORTED; ERR_OUT_OF_MEMORY
   */
  static async of(images: NativeTensor, range: BatchRange, { mean, std }: Normalization, signal?: AbortSignal): Promise<OwnedBatch> {
    const { start, end } = range;
    const [, channels, height, width] = images.shape as [number, number, number, number];
    const length = channels * height * width;
    const data = allocate((end - start) * length);
    const step = Math.max(1, Math.floor(pieceElements / length));
    const own = callNative(() => images.slice(start, end)); // the call may end, and dispose of the images, while this works
    try {
      for (let first = 0; first < end - start; first += step) {
        const last = Math.min(end - start, first + step);
        const piece = await runNative(signal, (control) => native().normalizeImages(control, own, { start: first, end: last, mean, std }));
        data.set(piece.toTypedArray() as Float32Array, first * length);
        piece.dispose();
      }
      return new OwnedBatch(own, [end - start, channels, height, width], data, signal);
    } catch (error) {
      own.dispose();
      throw isLibtorchOodError(error) && error.code === "ERR_NON_FINITE" ? inBatch(error, batchName(range)) : error;
    }
  }

  get count(): number {
    return this.shape[0];
  }

  get data(): Float32Array {
    if (this.#data === undefined) throw new LibtorchOodError("ERR_INTERNAL", "images: expected a batch of floats, found one of pixels");
    return this.#data;
  }

  get pixels(): Uint8Array | undefined {
    this.#pixels ??= callNative(() => (this.#images.dtype === "uint8" ? (this.#images.toTypedArray() as Uint8Array) : undefined));
    return this.#pixels;
  }

  dispose(): void {
    this.#images.dispose();
  }
}

function allocate(elements: number): Float32Array {
  try {
    return new Float32Array(elements);
  } catch (cause) {
    throw new LibtorchOodError("ERR_OUT_OF_MEMORY", `images: a batch of ${elements} numbers does not fit into memory`, { cause });
  }
}
