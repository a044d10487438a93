// Files of features: what `extract` or another program wrote, opened without being loaded, and read in pieces of rows.

import { createHash, type Hash } from "node:crypto";
import { fail, integer, optionalSignal, optionsObject, string } from "../core/checks";
import { bytesPerElement, type Dtype } from "../core/dtype";
import { LibtorchOodError } from "../core/errors";
import { shortList } from "../core/lists";
import { modelOutputs } from "../core/model-outputs";
import { abortError } from "../native/call";
import {
  changed,
  featuresNames,
  findFeatures,
  findLabels,
  readClassesBeside,
  type FeaturesLayout,
  type FeaturesName,
} from "./features-layout";
import type { PlainArray } from "./plain-values";
import { readStoredRows, type StoredRows } from "./stored-array";

export type { FeaturesName } from "./features-layout";

/** Form of an array of a {@link FeaturesFile}. */
export interface FeaturesForm {
  /** Element type in the file, as `"float16"`. */
  readonly dtype: string;
  /** Sizes of the dimensions, as `[N, d]`. */
  readonly shape: readonly number[];
}

/** Rows of a matrix: an array with its shape, which every call takes that takes a {@link Tensor}. */
export interface FeaturesRows {
  /** The numbers, row-major. Floats of 16 bits are widened to float32, integers to float64. */
  readonly data: Float32Array | Float64Array;
  /** `[n, columns]`. */
  readonly shape: readonly [number, number];
}

/** Consecutive rows of the arrays of a {@link FeaturesFile}; row i of each is of one input. */
export interface FeaturesPiece {
  /** Number of rows before this piece. */
  readonly offset: number;
  /** Number of rows of this piece, n. */
  readonly count: number;
  /** Features [n, d] that the last layer sees; undefined where the file has none, or they were not asked for. So are the others. */
  readonly features: FeaturesRows | undefined;
  /** Features [n, d] that pooling gives. */
  readonly rawFeatures: FeaturesRows | undefined;
  /** Logits [n, C]. */
  readonly logits: FeaturesRows | undefined;
  /** Class of each row, [n]. */
  readonly labels: Int32Array | BigInt64Array | undefined;
}

/** What {@link FeaturesFile.read} gives: the arrays that were asked for. */
export interface FeaturesArrays {
  /** Features [N, d] that the last layer sees. */
  features?: FeaturesArray;
  /** Features [N, d] that pooling gives. */
  rawFeatures?: FeaturesArray;
  /** Logits [N, C]. */
  logits?: FeaturesArray;
  /** Class of each row, [N]. */
  labels?: Int32Array | BigInt64Array;
  /** Weights [C, d] of the last layer. */
  weight?: FeaturesArray;
  /** Bias [C] of the last layer. */
  bias?: FeaturesArray;
}

/** A whole array with its shape. */
export interface FeaturesArray {
  /** The numbers, row-major, as in {@link FeaturesRows}. */
  readonly data: Float32Array | Float64Array;
  /** Sizes of the dimensions. */
  readonly shape: readonly number[];
}

/** Options of {@link FeaturesFile.pieces}. */
export interface FeaturesPiecesOptions {
  /** Number of rows of a piece; the last may have fewer. Default: as many as fit in 16 MiB, and one at least. */
  rows?: number;
  /** Arrays to read. Default: all of `"features"`, `"rawFeatures"`, `"logits"` and `"labels"` that the file has. */
  arrays?: readonly ("features" | "rawFeatures" | "logits" | "labels")[];
  /** Signal that ends the loop with ERR_ABORTED. */
  signal?: AbortSignal;
}

const rowArrays = [...modelOutputs, "labels"] as const;
const pieceBytes = 1 << 24;

/**
 * Features in files, of which only the headers have been read. {@link openFeatures} opens them.
 *
 * It serves in place of features in memory in `ClassStatistics.updateFrom`, `GaussianMixture.fit`, `scores.fit` and `score`, which then hold one piece
 * at a time.
 */
export class FeaturesFile {
  /** The path that was opened. */
  readonly path: string;
  /** N: the number of rows. */
  readonly length: number;
  /** Dtype and shape of each array, by its name: `features`, `rawFeatures`, `logits`, `labels`, `weight` and `bias`, as far as they are there. */
  readonly arrays: ReadonlyMap<FeaturesName, FeaturesForm>;
  /** Names of the labels, from `classes.txt` beside the arrays; undefined where there is none. */
  readonly classNames: readonly string[] | undefined;
  #layout: FeaturesLayout | undefined;
  #closing: Promise<void> | undefined;

  private constructor(path: string, layout: FeaturesLayout, classNames: readonly string[] | undefined) {
    this.path = path;
    this.#layout = layout;
    this.classNames = classNames;
    const arrays = new Map<FeaturesName, FeaturesForm>();
    for (const [name, parts] of layout.arrays) {
      const [first] = parts as readonly [StoredRows];
      const rows = parts.reduce((sum, part) => sum + (part.layout.shape[0] ?? 0), 0);
      arrays.set(name, { dtype: first.dtype, shape: Object.freeze([rows, ...first.layout.shape.slice(1)]) });
    }
    this.arrays = arrays;
    this.length = requireOneLength(path, arrays);
  }

  /** @internal Use {@link openFeatures}. */
  static async open(path: string): Promise<FeaturesFile> {
    return FeaturesFile.#of(path, await findFeatures(path), () => readClassesBeside(path));
  }

  /** @internal A list of labels by itself, in a .npy file. */
  static async openLabels(path: string): Promise<FeaturesFile> {
    return FeaturesFile.#of(path, await findLabels(path), () => Promise.resolve(undefined));
  }

  static async #of(path: string, layout: FeaturesLayout, classNames: () => Promise<string[] | undefined>): Promise<FeaturesFile> {
    try {
      return new FeaturesFile(path, layout, await classNames());
    } catch (error) {
      await layout.close();
      throw error;
    }
  }

  /** @internal True for a FeaturesFile of this copy of the library. */
  static is(value: unknown): value is FeaturesFile {
    return typeof value === "object" && value !== null && #layout in value;
  }

  /**
   * All rows, piece after piece, in order. Every piece has memory of its own.
   *
   * Where `extract` recorded checksums, they are compared at the end of the loop.
   *
   * @param options - size of the pieces, arrays to read, signal
   * @throws ERR_OPTION where an option is unknown or wrong, or an array that was asked for is not in the file; ERR_RANGE where `rows` is less than 1,
   *   and for integers that no float64 or int64 holds exactly, naming the element; ERR_CORRUPT_FILE where a file has shrunk since it was opened, and
   *   after the last piece where the values are not those that `extract` wrote; ERR_IO where a file cannot be read; ERR_ABORTED on an abort;
   *   ERR_DISPOSED after {@link close}
   */
  async *pieces(options?: FeaturesPiecesOptions): AsyncGenerator<FeaturesPiece, void, undefined> {
    const { rows, arrays, signal: given } = optionsObject(options, "options", ["rows", "arrays", "signal"]);
    const signal = optionalSignal(given, "signal");
    const names = arrays === undefined ? rowArrays.filter((name) => this.arrays.has(name)) : this.#asked(arrays, rowArrays);
    const step = rows === undefined ? this.#rowsPerPiece(names) : integer(rows, "rows", 1);
    const readers = names.map((name) => ({ name, reader: new Reader(this.#parts(name)) }));
    for (let offset = 0; offset < this.length; offset += step) {
      const count = Math.min(step, this.length - offset);
      const read: Partial<Record<FeaturesName, PlainArray>> = {};
      for (const { name, reader } of readers) {
        if (signal?.aborted) throw abortError(signal);
        this.#parts(name); // is it open still?
        read[name] = await reader.next(count);
      }
      const { labels } = read as { labels?: Int32Array | BigInt64Array };
      const [features, rawFeatures, logits] = modelOutputs.map((name) => this.#matrix(name, read[name], offset, count));
      yield { offset, count, features, rawFeatures, logits, labels };
    }
    for (const { reader } of readers) reader.end();
  }

  /**
   * Whole arrays in memory, for what has to hold all rows: `Detector.fromFeatures`, `"nearest-neighbours"`, `"vim"`.
   *
   * @param arrays - names of arrays. Default: all that the file has.
   * @returns the arrays by their names: matrices and the bias with their shapes, labels as a typed array
   * @throws as {@link pieces}; ERR_OUT_OF_MEMORY where the memory is unavailable
   */
  async read(arrays?: readonly FeaturesName[]): Promise<FeaturesArrays> {
    const names = arrays === undefined ? [...this.arrays.keys()] : this.#asked(arrays, featuresNames);
    const all: Partial<Record<FeaturesName, unknown>> = {};
    for (const name of names) {
      const { shape } = this.arrays.get(name) as FeaturesForm;
      const reader = new Reader(this.#parts(name));
      const values = await reader.next(shape[0] as number);
      reader.end();
      all[name] = name === "labels" ? values : { data: floats(values, this.#where(name), 0), shape };
    }
    return all as FeaturesArrays;
  }

  /** Waits for the reads under way and closes the files. A second call does nothing. */
  close(): Promise<void> {
    const layout = this.#layout;
    this.#layout = undefined;
    return (this.#closing ??= layout?.close() ?? Promise.resolve());
  }

  /** Calls {@link close} at the end of an `await using` declaration's block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #asked<N extends FeaturesName>(arrays: unknown, known: readonly N[]): N[] {
    const list = shortList(arrays, 16);
    if (list === undefined || list.length === 0) fail("ERR_OPTION", "arrays", `a list of ${known.join(", ")}`, arrays);
    return list.map((name, i) => {
      const found = known.find((one) => one === name);
      if (found === undefined) fail("ERR_OPTION", `arrays[${i}]`, `one of ${known.join(", ")}`, name);
      if (!this.arrays.has(found)) {
        throw new LibtorchOodError("ERR_OPTION", `${this.path}: expected ${found}, found ${[...this.arrays.keys()].join(", ")}`);
      }
      return found;
    });
  }

  #rowsPerPiece(names: readonly FeaturesName[]): number {
    const bytes = names.reduce((sum, name) => {
      const { dtype, shape } = this.arrays.get(name) as FeaturesForm;
      return sum + Math.max(4, bytesPerElement(dtype as Dtype)) * (shape[1] ?? 1);
    }, 0);
    return Math.max(1, Math.floor(pieceBytes / Math.max(1, bytes)));
  }

  #parts(name: FeaturesName): readonly StoredRows[] {
    if (this.#layout === undefined) throw new LibtorchOodError("ERR_DISPOSED", `${this.path}: pieces() after close()`);
    return this.#layout.arrays.get(name) as readonly StoredRows[];
  }

  #where(name: FeaturesName): string {
    return (this.#parts(name)[0] as StoredRows).where;
  }

  #matrix(name: FeaturesName, values: PlainArray | undefined, offset: number, count: number): FeaturesRows | undefined {
    if (values === undefined) return undefined;
    const columns = this.arrays.get(name)?.shape[1] as number;
    return { data: floats(values, this.#where(name), offset * columns), shape: [count, columns] };
  }
}

/** Reads one array from its first row to its last, and its checksum beside it. */
class Reader {
  #part = 0;
  #row = 0;
  #hash: Hash | undefined;

  constructor(private readonly parts: readonly StoredRows[]) {
    this.#hash = hashOf(parts[0]);
  }

  async next(count: number): Promise<PlainArray> {
    const read: PlainArray[] = [];
    for (let left = count; left > 0;) {
      const part = this.parts[this.#part] as StoredRows;
      const end = Math.min(this.#row + left, part.layout.shape[0] as number);
      if (end > this.#row) read.push(await readStoredRows(part, this.#row, end, this.#hash));
      left -= end - this.#row;
      this.#row = end;
      if (left > 0) this.#nextPart();
    }
    if (read.length === 1) return read[0] as PlainArray;
    return joined(read, await this.#none());
  }

  /** After the last row. @throws ERR_CORRUPT_FILE where the values are not as recorded */
  end(): void {
    while (this.#part < this.parts.length) this.#nextPart();
  }

  #nextPart(): void {
    const { where, recorded, advice } = this.parts[this.#part] as StoredRows;
    if (this.#hash !== undefined && this.#hash.digest("hex") !== recorded?.sha256) throw changed(where, advice);
    this.#part++;
    this.#row = 0;
    this.#hash = hashOf(this.parts[this.#part]);
  }

  /** An array of no rows, of the right kind. */
  #none(): Promise<PlainArray> {
    return readStoredRows(this.parts[0] as StoredRows, 0, 0);
  }
}

/** A checksum is made by whoever reads C order: it is of the bytes as they lie. */
function hashOf(part: StoredRows | undefined): Hash | undefined {
  return part?.recorded === undefined || part.layout.fortran ? undefined : createHash("sha256");
}

function joined(parts: readonly PlainArray[], none: PlainArray): PlainArray {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const all = new (none.constructor as new (length: number) => PlainArray)(length);
  let at = 0;
  for (const part of parts) {
    all.set(part as never, at);
    at += part.length;
  }
  return all;
}

/** Numbers as floats, without a copy where they are that. @param first - number of the elements before them */
function floats(values: PlainArray, where: string, first: number): Float32Array | Float64Array {
  if (values instanceof Float32Array || values instanceof Float64Array) return values;
  if (values instanceof Int32Array) return Float64Array.from(values);
  return Float64Array.from(values, (value, i) => {
    const number = Number(value);
    if (BigInt(number) === value) return number;
    const found = `found ${value} as element ${first + i}`;
    throw new LibtorchOodError("ERR_RANGE", `${where}: expected numbers that float64 holds exactly, ${found}`);
  });
}

/** N: row i of each array is of one input. @throws ERR_SHAPE */
function requireOneLength(path: string, arrays: ReadonlyMap<FeaturesName, FeaturesForm>): number {
  const rows = rowArrays.flatMap((name) => {
    const form = arrays.get(name);
    return form === undefined ? [] : [{ name, length: form.shape[0] as number }];
  });
  const [first] = rows;
  if (rows.every(({ length }) => length === first?.length)) return first?.length ?? 0;
  const found = rows.map(({ name, length }) => `${name} of ${length}`).join(", ");
  throw new LibtorchOodError("ERR_SHAPE", `${path}: expected arrays with a row for each image, found ${found} rows`);
}

/**
 * Opens files of features without loading them: a folder of .npy files (`features.npy`, `rawFeatures.npy`, `logits.npy`, `labels.npy`), one .npy file of
 * features, a .safetensors file with tensors of these names, or the `.safetensors.index.json` of shards. Shards also open by the name that they were
 * extracted to.
 *
 * The numbers may be of any real dtype of 16 bits and more, labels of any integer dtype. .npy files may have either byte order and either order of
 * elements. In Fortran order one piece takes a read per column.
 *
 * @param path - the file or folder
 * @throws ERR_IO where a file cannot be read; ERR_CORRUPT_FILE where a header is damaged, does not agree with the size of its file, or is not that of
 *   the run that the record beside it is of; ERR_OPTION where no array has one of the names, and where `path` is no text; ERR_SHAPE for arrays that are
 *   no matrices [N, columns] and lists [N], or have different N; ERR_DTYPE for complex numbers and floats of 8 bits and fewer, and for labels that are
 *   no integers
 * @example
 * import { ClassStatistics, files, GaussianMixture } from "libtorch-ood";
 *
 * const file = await files.openFeatures("features/train");
 * console.log(file.length, file.arrays.get("features")); // 1281167 { dtype: 'float16', shape: [ 1281167, 2048 ] }
 * for await (const { features, labels } of file.pieces({ rows: 4096 })) console.log(features?.shape, labels?.length);
 * const mixture = await GaussianMixture.fit(file, undefined, { covariance: "tied" });
 * await file.close();
 */
export function openFeatures(path: string): Promise<FeaturesFile> {
  return FeaturesFile.open(string(path, "path"));
}
