// NumPy's .npy files, each with one array: written row by row as the rows come, and read without trusting anything in the file.

import { describe, fail, string } from "../core/checks";
import {
  arrayNameOf,
  bytesOfArray,
  dtypeOf,
  dtypesHaving,
  maxDimensions,
  plainOf,
  type ArrayDtype,
  type ArrayOfDtype,
  type PlainDtype,
} from "../core/dtype";
import { LibtorchOodError } from "../core/errors";
import { halfPieces } from "./half";
import { openAtomicFile, type AtomicFile } from "./atomic-write";
import { listOf, shortList } from "../core/lists";
import { openNpy } from "./npy-file";
import { formatNpyHeader } from "./npy-header";
import { plainValues } from "./plain-values";
import { allocateBytes, readExactly } from "./regular-file";

export type { PlainArray as NpyArray } from "./plain-values";
/** The dtypes that arrays are read as: float64, float32, int64 and int32. */
export type NpyDtype = PlainDtype;
/** The dtypes that are written: those that arrays are read as, and float16. */
export type NpyWrittenDtype = NpyDtype | "float16";
/** The typed array of each {@link NpyDtype}: `Float64Array`, `Float32Array`, `BigInt64Array` and `Int32Array`. */
export type NpyArrays = Pick<ArrayOfDtype, PlainDtype>;
/** What {@link NpyWriter.write} takes for each dtype: the typed array of that dtype, and for float16 floats, which are rounded. */
export type NpyRows = NpyArrays & Readonly<Record<"float16", Float32Array | Float64Array>>;

/** An array that {@link readNpy} has read. */
export interface Npy<D extends NpyDtype = NpyDtype> {
  /** Element type. */
  readonly dtype: D;
  /** Sizes of the dimensions; `[]` for a single number. */
  readonly shape: readonly number[];
  /** The elements in row-major order (C order). */
  readonly data: NpyArrays[D];
}

const npyDtypes = dtypesHaving(({ plain }) => plain).filter((dtype) => dtype === "float16" || plainOf(dtype as ArrayDtype) === dtype);

/**
 * Reads an array of real numbers with any number of dimensions, in either byte order, in C or Fortran order, of format versions 1 to 3. The result is
 * in C order.
 *
 * Narrower numbers come in the next dtype that holds them exactly: float16 as float32; bool, int8, uint8, int16 and uint16 as int32; uint32 and
 * uint64 as int64. Bytes after the array are refused, which `numpy.load` ignores. Memory is allocated only once the size of the file agrees with its
 * header.
 *
 * @param path - the file
 * @throws ERR_IO where the file cannot be read; ERR_CORRUPT_FILE where it is damaged, or holds complex numbers, text, objects or a structured array,
 *   naming the file, what was expected and what was found; ERR_RANGE for a uint64 beyond 2^63 − 1; ERR_OUT_OF_MEMORY where the memory for the array
 *   is unavailable; ERR_OPTION where `path` is no text
 * @example
 * import { files } from "libtorch-ood";
 *
 * const { dtype, shape, data } = await files.readNpy("features.npy"); // "float32", [N, d], Float32Array
 */
export async function readNpy(path: string): Promise<Npy> {
  const { handle, layout, dataOffset, byteLength } = await openNpy(string(path, "path"));
  try {
    const bytes = allocateBytes(byteLength, path);
    await readExactly(handle, path, dataOffset, bytes);
    return { dtype: plainOf(layout.stored), shape: layout.shape, data: await plainValues(bytes, layout, path) };
  } finally {
    await handle.close();
  }
}

/**
 * Writes a .npy file whose number of rows is known only at its end. Rows are appended, and {@link NpyWriter.commit} writes their number into the
 * header and gives the file its name. Until then, and after {@link NpyWriter.discard}, the file that was at the path is unchanged.
 *
 * The bytes are those of `numpy.save`, whose header leaves room for any number of rows.
 *
 * @example
 * import { files } from "libtorch-ood";
 *
 * const writer = await files.NpyWriter.open("features.npy", "float32", [3]);
 * await writer.write(new Float32Array([1, 2, 3, 4, 5, 6])); // two rows
 * await writer.write(new Float32Array([7, 8, 9])); // one more
 * await writer.commit(); // an array of shape [3, 3]
 */
export class NpyWriter<D extends NpyWrittenDtype = NpyWrittenDtype> {
  readonly #rowLength: number;
  #position: number;
  #rows = 0;
  #writing = false;
  #over = false;
  /** The error of an earlier write: how much of its bytes is in the file is not known. */
  #failure: { error: unknown } | undefined;

  private constructor(
    /** The path that {@link commit} gives to the file. */
    readonly path: string,
    /** Element type. */
    readonly dtype: D,
    /** Sizes of one row. */
    readonly rowShape: readonly number[],
    private readonly file: AtomicFile,
  ) {
    this.#rowLength = rowShape.reduce((product, length) => product * length, 1);
    this.#position = formatNpyHeader(dtype, [0, ...rowShape]).length;
  }

  /**
   * Opens a file to write.
   *
   * @param path - the path that {@link commit} gives to the file
   * @param dtype - element type. With `"float16"`, numbers are rounded to the nearest float16, ties to even.
   * @param rowShape - sizes of one row, each at least 1: `[d]` for a matrix [N, d], `[]` for a list [N]
   * @throws ERR_IO where no file can be written there; ERR_OPTION for another dtype, and where `path` is no text; ERR_SHAPE where `rowShape` is no
   *   list of at most 63 positive integers
   */
  static async open<D extends NpyWrittenDtype>(path: string, dtype: D, rowShape: readonly number[]): Promise<NpyWriter<D>> {
    if (!npyDtypes.includes(dtype)) fail("ERR_OPTION", "dtype", `one of ${npyDtypes.join(", ")}`, dtype);
    const sizes = shortList(rowShape, maxDimensions - 1);
    if (sizes === undefined) fail("ERR_SHAPE", "rowShape", `an array of at most ${maxDimensions - 1} sizes`, rowShape);
    if (!sizes.every((length): length is number => Number.isSafeInteger(length) && (length as number) > 0)) {
      const found = sizes.map((size) => (typeof size === "number" ? size : describe(size))).join(", ");
      throw new LibtorchOodError("ERR_SHAPE", `rowShape: expected positive integers, found [${found}]`);
    }
    return new NpyWriter(path, dtype, sizes, await openAtomicFile(string(path, "path")));
  }

  /** Number of rows written so far. */
  get rows(): number {
    return this.#rows;
  }

  /**
   * Appends whole rows. `values` must not change until the promise settles. The next write may begin only then.
   *
   * @param values - n rows one after the other, of the writer's dtype; float32 or float64 for a writer of float16
   * @throws ERR_DTYPE for an array of another dtype; ERR_SHAPE for a part of a row, and where the array's memory goes while it is written; ERR_RANGE
   *   for a finite number whose nearest float16 is infinite (65,520 and more); ERR_BUSY while another write is under way; ERR_DISPOSED after
   *   {@link commit} or {@link discard}; ERR_IO where the file cannot be written. After a write that failed, only {@link discard} is possible.
   */
  async write(values: NpyRows[D]): Promise<void> {
    const given = dtypeOf(values);
    const fits = this.dtype === "float16" ? given === "float32" || given === "float64" : given === this.dtype;
    if (!fits || listOf(values) === undefined) {
      const expected = this.dtype === "float16" ? "Float32Array or Float64Array" : arrayNameOf(this.dtype);
      fail("ERR_DTYPE", this.path, `a ${expected}`, values);
    }
    const { length } = values;
    if (length % this.#rowLength !== 0) {
      throw new LibtorchOodError("ERR_SHAPE", `${this.path}: expected rows of ${this.#rowLength} numbers, found ${describe(values)}`);
    }
    this.#requireIdle("write()");
    if (length === 0) return;
    this.#writing = true;
    try {
      if (this.dtype === "float16") await this.#writeRounded(values as Float32Array);
      else await this.#append(bytesOfArray(values));
    } catch (error) {
      this.#failure = { error };
      throw error;
    } finally {
      this.#writing = false;
    }
    this.#rows += length / this.#rowLength;
  }

  async #append(bytes: Uint8Array): Promise<void> {
    const { byteLength } = bytes;
    await this.file.write(bytes, this.#position);
    this.#position += byteLength;
  }

  async #writeRounded(values: Float32Array | Float64Array): Promise<void> {
    for await (const bytes of halfPieces("float16", values, this.path)) await this.#append(bytes);
  }

  /**
   * Completes the file, flushes it to the disk and gives it its name. Where this throws ERR_IO or the error of an earlier write, the new file is
   * removed.
   *
   * @throws ERR_BUSY while a write is under way; ERR_DISPOSED after {@link commit} or {@link discard}; ERR_IO where the file cannot be written; and
   *   what an earlier write threw
   */
  async commit(): Promise<void> {
    this.#requireIdle("commit()");
    this.#over = true;
    try {
      if (this.#failure) throw this.#failure.error;
      await this.file.write(formatNpyHeader(this.dtype, [this.#rows, ...this.rowShape]), 0);
    } catch (error) {
      await this.file.discard();
      throw error;
    }
    await this.file.commit();
  }

  #requireIdle(what: string): void {
    if (this.#over) throw new LibtorchOodError("ERR_DISPOSED", `${this.path}: ${what} after commit() or discard()`);
    if (this.#writing) throw new LibtorchOodError("ERR_BUSY", `${this.path}: a write is under way; await it before ${what}`);
  }

  /** Removes the new file and leaves the path as it was. A second call does nothing, and neither does a call after {@link commit}. */
  discard(): Promise<void> {
    this.#over = true;
    return this.file.discard();
  }
}
