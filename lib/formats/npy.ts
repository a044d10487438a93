// NumPy's .npy files: one array each, written row by row as it comes, and read with nothing in the file trusted.

import { describe, fail, string } from "../core/checks";
import {
  arrayNameOf,
  bytesOfArray,
  bytesPerElement,
  dtypeOf,
  dtypesHaving,
  maxDimensions,
  plainOf,
  type ArrayDtype,
  type ArrayOfDtype,
  type PlainDtype,
} from "../core/dtype";
import { LibtorchOodError } from "../core/errors";
import { openAtomicFile, type AtomicFile } from "./atomic-write";
import { corruptFile } from "../core/file-errors";
import { listOf, shortList } from "../core/lists";
import { formatNpyHeader, maxNpyHeaderBytes, parseNpyHeader } from "./npy-header";
import { npyValues } from "./npy-values";
import { allocateBytes, openRegularFile, readExactly } from "./regular-file";

export type { NpyArray } from "./npy-values";
/** What is written, and what is read as. */
export type NpyDtype = PlainDtype;
/** The typed array of each dtype. */
export type NpyArrays = Pick<ArrayOfDtype, PlainDtype>;

/** What a `.npy` file holds. */
export interface Npy<D extends NpyDtype = NpyDtype> {
  /** The dtype of `data`. */
  readonly dtype: D;
  /** Sizes of the dimensions; none for a single number. */
  readonly shape: readonly number[];
  /** Row-major (C order), as many elements as the sizes multiply to. */
  readonly data: NpyArrays[D];
}

const npyDtypes = dtypesHaving(({ plain }) => plain).filter((dtype) => plainOf(dtype as ArrayDtype) === dtype);

/**
 * Reads an array of real numbers of any number of dimensions, in either byte order, in C or Fortran order, of format versions 1 to 3. It comes in C order,
 * and narrower numbers in the next dtype that holds them exactly: float16 as float32; bool, int8, uint8, int16 and uint16 as int32; uint32 and uint64 as
 * int64.
 *
 * Stricter than `numpy.load`: bytes after the array are refused. Memory is taken only once the size of the file agrees with its header.
 *
 * @throws ERR_CORRUPT_FILE naming the file, what was expected and what was found (also for complex numbers, text, objects and structured
 *   arrays); ERR_RANGE for a uint64 beyond 2^63 − 1; ERR_IO, ERR_OUT_OF_MEMORY
 * @example
 * const { shape, data } = await readNpy("features.npy"); // shape [N, d]
 */
export async function readNpy(path: string): Promise<Npy> {
  const { handle, size } = await openRegularFile(string(path, "path"));
  try {
    const start = new Uint8Array(Math.min(maxNpyHeaderBytes, size));
    await readExactly(handle, path, 0, start);
    const header = parseNpyHeader(start, path);
    const { stored, shape, dataOffset } = header;
    const elements = shape.reduce((product, length) => product * length, 1);
    const byteLength = elements * bytesPerElement(stored);
    if (!Number.isSafeInteger(byteLength) || byteLength !== size - dataOffset) {
      const expected = `${byteLength} bytes of ${stored} [${shape.join(", ")}] behind the header`;
      throw corruptFile(path, expected, `${size - dataOffset}`);
    }
    const bytes = allocateBytes(byteLength, path);
    await readExactly(handle, path, dataOffset, bytes);
    return { dtype: plainOf(stored), shape, data: await npyValues(bytes, header, path) };
  } finally {
    await handle.close();
  }
}

/**
 * Writes a .npy file whose number of rows is not known before its end: rows are appended, and {@link NpyWriter.commit} writes their number into the
 * header and gives the file its name. Until then, and after {@link NpyWriter.discard}, what was at the path stays as it was. The bytes are those of
 * `numpy.save`, whose header leaves room for any number of rows.
 *
 * @example
 * const writer = await NpyWriter.open("features.npy", "float32", [512]);
 * for (const rows of chunks) await writer.write(rows); // each a Float32Array of n · 512 numbers
 * await writer.commit(); // shape [sum of n, 512]
 */
export class NpyWriter<D extends NpyDtype = NpyDtype> {
  readonly #rowLength: number;
  #position: number;
  #rows = 0;
  #writing = false;
  #over = false;
  /** What an earlier write failed with: how much of its bytes is in the file is not known. */
  #failure: { error: unknown } | undefined;

  private constructor(
    /** Where the file will be. */
    readonly path: string,
    /** The dtype of the elements. */
    readonly dtype: D,
    /** Sizes of the dimensions of a row. */
    readonly rowShape: readonly number[],
    private readonly file: AtomicFile,
  ) {
    this.#rowLength = rowShape.reduce((product, length) => product * length, 1);
    this.#position = formatNpyHeader(dtype, [0, ...rowShape]).length;
  }

  /**
   * @param rowShape - of one row, each size at least 1: [d] for a matrix [N, d], [] for a list [N]
   * @throws ERR_IO, ERR_OPTION for another dtype, ERR_SHAPE
   */
  static async open<D extends NpyDtype>(path: string, dtype: D, rowShape: readonly number[]): Promise<NpyWriter<D>> {
    if (!npyDtypes.includes(dtype)) fail("ERR_OPTION", "dtype", `one of ${npyDtypes.join(", ")}`, dtype);
    const sizes = shortList(rowShape, maxDimensions - 1);
    if (sizes === undefined) fail("ERR_SHAPE", "rowShape", `an array of at most ${maxDimensions - 1} sizes`, rowShape);
    if (!sizes.every((length): length is number => Number.isSafeInteger(length) && (length as number) > 0)) {
      const found = sizes.map((size) => (typeof size === "number" ? size : describe(size))).join(", ");
      throw new LibtorchOodError("ERR_SHAPE", `rowShape: expected positive integers, found [${found}]`);
    }
    return new NpyWriter(path, dtype, sizes, await openAtomicFile(string(path, "path")));
  }

  /** Rows written. */
  get rows(): number {
    return this.#rows;
  }

  /**
   * Appends whole rows. `values` must not be changed until the promise settles, which is when the next may be written.
   *
   * @throws ERR_DTYPE for another kind of array, ERR_SHAPE for a part of a row, and where the array's memory goes while it is written; ERR_BUSY while
   *   another write is under way, ERR_DISPOSED after {@link commit} or {@link discard}, ERR_IO. After a write that failed, only {@link discard} is left
   */
  async write(values: NpyArrays[D]): Promise<void> {
    if (dtypeOf(values) !== this.dtype || listOf(values) === undefined) {
      fail("ERR_DTYPE", this.path, `a ${arrayNameOf(this.dtype)}`, values);
    }
    const { length, byteLength } = values;
    if (length % this.#rowLength !== 0) {
      throw new LibtorchOodError("ERR_SHAPE", `${this.path}: expected rows of ${this.#rowLength} numbers, found ${describe(values)}`);
    }
    this.#requireIdle("write()");
    if (length === 0) return;
    this.#writing = true;
    try {
      await this.file.write(bytesOfArray(values), this.#position);
    } catch (error) {
      this.#failure = { error };
      throw error;
    } finally {
      this.#writing = false;
    }
    this.#position += byteLength;
    this.#rows += length / this.#rowLength;
  }

  /**
   * Completes the file, flushes it to the disk and gives it its name.
   *
   * @throws ERR_BUSY while a write is under way, ERR_DISPOSED after {@link commit} or {@link discard}; ERR_IO, and what an earlier write threw: the new
   *   file is then gone
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

  /** Gives up: the path is as it was. Idempotent, and nothing after {@link commit}. */
  discard(): Promise<void> {
    this.#over = true;
    return this.file.discard();
  }
}
