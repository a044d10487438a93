// Tensor: an n-dimensional array in native host memory, so that features and images pass between calls without a copy.

import { setImmediate as turn } from "node:timers/promises";
import { describe, fail, isRevoked, optionalSignal, optionsObject } from "../core/checks";
import { arrayNames, dtypeOf, isNativeDtype, maxDimensions, nativeDtypes } from "../core/dtype";
import { LibtorchOodError } from "../core/errors";
import { shortList } from "../core/lists";
import type { Scope } from "../core/scope";
import { native, type NativeArray, type NativeDtype, type NativeTensor } from "./surface";
import { abortError, callNative, given } from "./call";

export type Dtype = NativeDtype;
/** The typed arrays that a Tensor can be made from and gives back. */
export type TensorArray = NativeArray;

const arrays = arrayNames(nativeDtypes);

/** About 2 ms of copying. */
const pieceBytes = 8 << 20;

/**
 * An n-dimensional array in native host memory, row-major. Immutable through this interface.
 *
 * Memory is freed when the object is collected, or at once by {@link Tensor.dispose}; a call that is using the tensor
 * keeps its memory until it ends.
 *
 * @example
 * const features = Tensor.from(new Float32Array([1, 2, 3, 4, 5, 6]), [2, 3]);
 * features.shape; // [2, 3]
 */
export class Tensor {
  readonly #native: NativeTensor;

  /** @internal Use {@link Tensor.from}. */
  constructor(handle: NativeTensor) {
    this.#native = given(handle);
  }

  /**
   * Copies a typed array (of any realm; its kind gives the dtype, `Buffer` and `Uint8ClampedArray` count as uint8).
   *
   * The copy is made at the call, on the calling thread: a gigabyte takes about 0.3 s. {@link Tensor.fromAsync} lets the event loop turn meanwhile.
   *
   * @param data - as many elements as `shape` multiplies to
   * @param shape - sizes of the dimensions, non-negative integers, 64 at most; default: one dimension
   * @throws ERR_DTYPE for another kind of array, ERR_SHAPE where lengths differ, ERR_OUT_OF_MEMORY
   */
  static from(data: TensorArray | Uint8ClampedArray, shape?: readonly number[]): Tensor {
    const { dtype, sizes } = checkArray(data, shape);
    return new Tensor(callNative(() => new (native().Tensor)(data as NativeArray, sizes, dtype)));
  }

  /**
   * As {@link Tensor.from}, for large arrays: copies piece by piece, and the event loop turns between two pieces. The calls that take
   * `{ data, shape }` copy at the call; give them this tensor instead where the array has hundreds of megabytes.
   *
   * @param data - the caller must leave it as it is until the promise settles: what is written meanwhile may be in the tensor or not
   * @param options.signal - ends the copy
   * @throws ERR_DTYPE, ERR_SHAPE, also where the array's memory is transferred or resized meanwhile, ERR_OUT_OF_MEMORY, ERR_ABORTED
   * @example
   * const features = await Tensor.fromAsync(embeddings, [1_000_000, 512]);
   */
  static async fromAsync(
    data: TensorArray | Uint8ClampedArray,
    shape?: readonly number[],
    options?: { signal?: AbortSignal },
  ): Promise<Tensor> {
    const signal = optionalSignal(optionsObject(options, "options", ["signal"]).signal, "signal");
    const { dtype, sizes } = checkArray(data, shape);
    const elements = sizes.reduce((product, size) => product * size, 1);
    const given = data as Uint8Array; // whichever it is, its pieces are of its kind
    const requireAll = (found: number, expected: number): void => {
      if (found === expected) return;
      const there = `found ${given.length}`;
      throw new LibtorchOodError("ERR_SHAPE", `data: expected ${elements} elements for shape [${sizes.join(", ")}], ${there}`);
    };
    requireAll(given.length, elements);
    const tensor = new Tensor(callNative(() => new (native().Tensor)(null, sizes, dtype)));
    const step = pieceBytes / given.BYTES_PER_ELEMENT;
    try {
      for (let start = 0; start < elements; start += step) {
        if (start > 0) await turn();
        if (signal?.aborted) throw abortError(signal);
        const end = Math.min(elements, start + step);
        requireAll(given.length, elements); // others have had their turn
        const piece = given.subarray(start, end);
        requireAll(piece.length, end - start);
        callNative(() => tensor.#native.write(start, piece));
      }
      return tensor;
    } catch (error) {
      tensor.dispose();
      throw error;
    }
  }

  /** Sizes of the dimensions. @throws ERR_DISPOSED */
  get shape(): number[] {
    return callNative(() => this.#native.shape);
  }

  /** Element type. @throws ERR_DISPOSED */
  get dtype(): Dtype {
    return callNative(() => this.#native.dtype);
  }

  /** Number of elements. @throws ERR_DISPOSED */
  get size(): number {
    return this.shape.reduce((product, size) => product * size, 1);
  }

  get disposed(): boolean {
    return this.#native.disposed;
  }

  /** A copy of the elements in row-major order. @throws ERR_DISPOSED, ERR_OUT_OF_MEMORY */
  toArray(): TensorArray {
    return callNative(() => this.#native.toTypedArray());
  }

  /** Rows `start` … `end − 1` along the first dimension, sharing this tensor's memory. @throws ERR_RANGE, ERR_DISPOSED */
  slice(start: number, end: number = this.shape[0] ?? 0): Tensor {
    return new Tensor(callNative(() => this.#native.slice(start, end)));
  }

  /**
   * @internal The same memory under a handle of its own, for a call that goes on while the caller may dispose of this one.
   * @throws ERR_DISPOSED
   */
  hold(): Tensor {
    const [rows] = this.shape;
    return rows === undefined ? this : this.slice(0, rows);
  }

  /** Gives the memory back now. Idempotent; any later use throws ERR_DISPOSED. */
  dispose(): void {
    this.#native.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal The handle for native calls. @throws ERR_OPTION where `value` is no Tensor */
  static handle(value: Tensor, name: string): NativeTensor {
    if (typeof value !== "object" || value === null || !(#native in value)) fail("ERR_OPTION", name, "a Tensor", value);
    return value.#native;
  }

  /** @internal True for a Tensor of this copy of the library. */
  static is(value: unknown): value is Tensor {
    return typeof value === "object" && value !== null && #native in value;
  }
}

/** An array with its shape, where a {@link Tensor} may be given too: `{ data, shape }`, row-major. */
export interface ArrayWithShape {
  data: TensorArray;
  shape: readonly number[];
}

/** A Tensor as it is, or one made from an array with its shape. @throws ERR_OPTION, and what {@link Tensor.from} throws */
export function toTensor(value: Tensor | ArrayWithShape, name: string): Tensor {
  if (Tensor.is(value)) return value;
  if (typeof value === "object" && value !== null && ArrayBuffer.isView(value.data)) return Tensor.from(value.data, value.shape);
  fail("ERR_OPTION", name, "a Tensor or { data: typed array, shape }", value);
}

/**
 * A tensor for a call that goes on while the caller may dispose of theirs: what was made of their value, or their memory under a handle of its own. The
 * scope owns it.
 *
 * @param made - of `given`, or `given` itself
 */
export function heldIn(scope: Scope, made: Tensor, given: unknown): Tensor {
  const own = made === given ? made.hold() : made;
  return own === given ? own : scope.own(own);
}

/** @throws ERR_DTYPE, ERR_SHAPE */
function checkArray(data: TensorArray | Uint8ClampedArray, shape: readonly number[] | undefined): { dtype: Dtype; sizes: number[] } {
  const dtype = dtypeOf(data);
  if (!isNativeDtype(dtype)) fail("ERR_DTYPE", "data", `a typed array (${arrays.join(", ")})`, data);
  return { dtype, sizes: shape === undefined ? [data.length] : checkShape(shape) };
}

function checkShape(shape: unknown): number[] {
  const sizes = shortList(shape, maxDimensions);
  if (sizes === undefined)
    fail("ERR_SHAPE", "shape", !isRevoked(shape) && Array.isArray(shape) ? `at most ${maxDimensions} sizes` : "an array of sizes", shape);
  return sizes.map((size) => {
    if (typeof size === "number" && Number.isSafeInteger(size) && size >= 0) return size;
    throw new LibtorchOodError("ERR_SHAPE", `shape: expected non-negative integers, found ${describe(size)}`);
  });
}
