// Tensor: an n-dimensional array in native host memory. Features and images pass from one native call to the next in it without a copy.

import { setImmediate as turn } from "node:timers/promises";
import { describe, fail, isRevoked, optionalSignal, optionsObject } from "../core/checks";
import { arrayNames, dtypeOf, isNativeDtype, maxDimensions, nativeDtypes } from "../core/dtype";
import { LibtorchOodError } from "../core/errors";
import { shortList } from "../core/lists";
import type { Scope } from "../core/scope";
import { native, type NativeArray, type NativeDtype, type NativeTensor } from "./surface";
import { abortError, callNative, given } from "./call";

/** Element type of a {@link Tensor}: `"float64"`, `"float32"`, `"int64"`, `"int32"`, `"int8"` or `"uint8"`. */
export type Dtype = NativeDtype;
/**
 * The typed arrays that a {@link Tensor} can be made from and gives back: `Float64Array`, `Float32Array`, `BigInt64Array`, `Int32Array`, `Int8Array`
 * and `Uint8Array`.
 */
export type TensorArray = NativeArray;

const arrays = arrayNames(nativeDtypes);

/** About 2 ms of copying. */
const pieceBytes = 1 << 20;

/**
 * An n-dimensional array in native host memory, row-major. Its methods never change its elements.
 *
 * The memory is freed when the object is garbage-collected, or at once by {@link Tensor.dispose}. A call that is using the tensor keeps the memory
 * until the call ends.
 *
 * @example
 * import { Tensor } from "libtorch-ood";
 *
 * const features = Tensor.from(new Float32Array([1, 2, 3, 4, 5, 6]), [2, 3]);
 * features.shape; // [2, 3]
 * features.slice(1, 2).toArray(); // Float32Array [4, 5, 6]
 * features.dispose();
 */
export class Tensor {
  readonly #native: NativeTensor;

  /** @internal Use {@link Tensor.from}. */
  constructor(handle: NativeTensor) {
    this.#native = given(handle);
  }

  /**
   * Copies a typed array into a new tensor. The kind of array gives the dtype; `Buffer` and `Uint8ClampedArray` give uint8. Arrays of any realm are
   * accepted.
   *
   * The copy is made at the call, on the calling thread: a gigabyte takes about 0.3 s. {@link Tensor.fromAsync} lets the event loop turn meanwhile.
   *
   * @param data - as many elements as the sizes in `shape` multiply to
   * @param shape - sizes of the dimensions, non-negative integers, at most 64 of them. Default: one dimension, `[data.length]`.
   * @throws ERR_DTYPE where `data` is no typed array or one of another kind; ERR_SHAPE where `shape` is no list of at most 64 non-negative integers,
   *   or does not multiply to the length of `data`; ERR_RANGE where the sizes multiply to more than 2^63 − 1; ERR_OUT_OF_MEMORY where the memory is
   *   unavailable
   */
  static from(data: TensorArray | Uint8ClampedArray, shape?: readonly number[]): Tensor {
    const { dtype, sizes } = checkArray(data, shape);
    return new Tensor(callNative(() => new (native().Tensor)(data as NativeArray, sizes, dtype)));
  }

  /**
   * Copies a large typed array into a new tensor piece by piece, a millisecond or two at a time, and lets the event loop turn between two pieces. Calls that
   * take `{ data, shape }` copy at once; give them this tensor instead where the array has hundreds of megabytes.
   *
   * @param data - as in {@link Tensor.from}. It must not change until the promise settles: what is written meanwhile may be in the tensor or not.
   * @param shape - as in {@link Tensor.from}
   * @param options - the signal
   * @param options.signal - aborts the copy
   * @throws as {@link Tensor.from}; ERR_SHAPE also where the array's memory is transferred or resized meanwhile; ERR_ABORTED on an abort
   * @example
   * import { Tensor } from "libtorch-ood";
   *
   * const embeddings = new Float32Array(1000 * 512);
   * const features = await Tensor.fromAsync(embeddings, [1000, 512]);
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

  /**
   * Sizes of the dimensions; `[]` for a single number.
   *
   * @throws ERR_DISPOSED after {@link dispose}
   */
  get shape(): number[] {
    return callNative(() => this.#native.shape);
  }

  /**
   * Element type.
   *
   * @throws ERR_DISPOSED after {@link dispose}
   */
  get dtype(): Dtype {
    return callNative(() => this.#native.dtype);
  }

  /**
   * Number of elements: the product of {@link shape}.
   *
   * @throws ERR_DISPOSED after {@link dispose}
   */
  get size(): number {
    return this.shape.reduce((product, size) => product * size, 1);
  }

  /** Whether {@link dispose} has been called. */
  get disposed(): boolean {
    return this.#native.disposed;
  }

  /**
   * Copies the elements, in row-major order, into a typed array of the tensor's dtype.
   *
   * @throws ERR_DISPOSED after {@link dispose}; ERR_OUT_OF_MEMORY where the memory for the copy is unavailable
   */
  toArray(): TensorArray {
    return callNative(() => this.#native.toTypedArray());
  }

  /**
   * Rows `start` to `end − 1` along the first dimension, as a tensor that shares this tensor's memory. It stays usable when this tensor is disposed.
   *
   * @param start - first row, 0 to the number of rows
   * @param end - one more than the last row. Default: the number of rows.
   * @throws ERR_RANGE where `start` or `end` lies outside the tensor, or `end` is less than `start`; ERR_OPTION where one is no integer; ERR_SHAPE
   *   for a tensor without dimensions; ERR_DISPOSED after {@link dispose}
   */
  slice(start: number, end: number = this.shape[0] ?? 0): Tensor {
    return new Tensor(callNative(() => this.#native.slice(start, end)));
  }

  /**
   * @internal The same memory under a handle of its own, for a call that goes on while the caller may dispose of this tensor.
   *
   * @throws ERR_DISPOSED
   */
  hold(): Tensor {
    const [rows] = this.shape;
    return rows === undefined ? this : this.slice(0, rows);
  }

  /** Frees the memory now. A second call does nothing. Any later use of the tensor throws ERR_DISPOSED. */
  dispose(): void {
    this.#native.dispose();
  }

  /** Calls {@link dispose} at the end of a `using` declaration's block. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /**
   * @internal The handle for native calls.
   *
   * @throws ERR_OPTION where `value` is no Tensor
   */
  static handle(value: Tensor, name: string): NativeTensor {
    if (typeof value !== "object" || value === null || !(#native in value)) fail("ERR_OPTION", name, "a Tensor", value);
    return value.#native;
  }

  /** @internal True for a Tensor of this copy of the library. */
  static is(value: unknown): value is Tensor {
    return typeof value === "object" && value !== null && #native in value;
  }
}

/** An array with its shape, accepted wherever a {@link Tensor} is. Its elements are copied. */
export interface ArrayWithShape {
  /** The elements, row-major. The kind of array gives the dtype. */
  data: TensorArray;
  /** Sizes of the dimensions, as in {@link Tensor.from}. */
  shape: readonly number[];
}

/**
 * The value itself where it is a Tensor, else a Tensor made from an array with its shape.
 *
 * @throws ERR_OPTION for anything else, and what {@link Tensor.from} throws
 */
export function toTensor(value: Tensor | ArrayWithShape, name: string): Tensor {
  if (Tensor.is(value)) return value;
  if (typeof value === "object" && value !== null && ArrayBuffer.isView(value.data)) return Tensor.from(value.data, value.shape);
  fail("ERR_OPTION", name, "a Tensor or { data: typed array, shape }", value);
}

/**
 * A tensor for a call that goes on while the caller may dispose of theirs: the one made from their value, or their memory under a handle of its own.
 * The scope owns it.
 *
 * @param made - the tensor made from `given`, or `given` itself
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
