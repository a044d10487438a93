// Reads and writes .safetensors files: weights, detectors and statistics, exchanged with Python without any code in the file.

import type { FileHandle } from "node:fs/promises";
import { describe, fail, isRevoked, optionsObject, string } from "../core/checks";
import { maxDimensions } from "../core/dtype";
import { LibtorchOodError } from "../core/errors";
import { bytesOf, shortList } from "../core/lists";
import { contentBytes } from "./content-kind";
import { allocateBytes, openRegularFile, readExactly } from "./regular-file";
import { isSafetensorsDtype, safetensorsDtypes, toBytes, type SafetensorsArray, type SafetensorsDtype } from "./safetensors-data";
import {
  hasLoneSurrogate,
  headerLength,
  maxHeaderBytes,
  parseHeader,
  parseHeaderInTurns,
  tensorByteLength,
  type SafetensorsEntry,
  type SafetensorsHeader,
} from "./safetensors-header";
import { formatHeader, headerTooLong, writeTensors, type PlannedTensor, type SafetensorsPlan } from "./safetensors-writer";

export { toValues, type SafetensorsArray, type SafetensorsDtype, type ValuesOfDtype } from "./safetensors-data";
export type { SafetensorsEntry } from "./safetensors-header";

/** A tensor that was read from a file. */
export interface SafetensorsTensor {
  /** Element type. */
  readonly dtype: SafetensorsDtype;
  /** Sizes of the dimensions; `[]` for a single number. */
  readonly shape: readonly number[];
  /** The bytes of the elements, little-endian, in row-major order. {@link toValues} gives the numbers. */
  readonly data: Uint8Array;
}

/** The content of a file. */
export interface SafetensorsContent {
  /** The texts of `__metadata__` by their keys, in the order of the file. */
  readonly metadata: ReadonlyMap<string, string>;
  /** The tensors by their names, in the order of the header. */
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
}

/** An open file whose header has been read and checked. Tensors are read one at a time. {@link openSafetensors} opens one. */
export class SafetensorsFile {
  /** The path that was opened. */
  readonly path: string;
  /** The texts of `__metadata__` by their keys, in the order of the file. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Dtype, shape and place of each tensor by its name, in the order of the header. */
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
  #handle: FileHandle | undefined;

  // Private, so that its types, which are Node's, are no part of the declarations.
  private constructor(path: string, header: SafetensorsHeader, handle: FileHandle) {
    this.path = path;
    this.metadata = header.metadata;
    this.tensors = header.tensors;
    this.#handle = handle;
  }

  /** @internal Use {@link openSafetensors}. */
  static async open(path: string): Promise<SafetensorsFile> {
    const { handle, size } = await openRegularFile(string(path, "path"));
    try {
      const prefix = new Uint8Array(Math.min(contentBytes, size));
      await readExactly(handle, path, 0, prefix);
      const header = allocateBytes(headerLength(prefix, size, path), `${path}: header`);
      await readExactly(handle, path, 8, header);
      return new SafetensorsFile(path, await parseHeaderInTurns(header, size, path), handle);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /**
   * Reads the bytes of one tensor into memory of their own, from offset 0 of their ArrayBuffer, so that a typed array of any kind fits over them.
   *
   * @param name - name of the tensor
   * @returns the bytes, little-endian, in row-major order
   * @throws ERR_OPTION for a name that is not in the file; ERR_DISPOSED after {@link close}; ERR_CORRUPT_FILE where the file has shrunk since it was
   *   opened; ERR_IO where it cannot be read; ERR_OUT_OF_MEMORY where the memory for the bytes is unavailable
   */
  async read(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const entry = this.tensors.get(name);
    if (entry === undefined) {
      throw new LibtorchOodError("ERR_OPTION", `${this.path}: no tensor ${describe(name)} among its ${this.tensors.size} tensors`);
    }
    if (this.#handle === undefined) throw new LibtorchOodError("ERR_DISPOSED", `${this.path}: read() after close()`);
    const bytes = allocateBytes(entry.byteLength, `${this.path}: tensor ${describe(name)}`);
    await readExactly(this.#handle, this.path, entry.byteOffset, bytes);
    return bytes;
  }

  /**
   * @internal Fills `into` with the bytes of the file from `position` on. Throws as {@link read}.
   */
  readAt(position: number, into: Uint8Array): Promise<void> {
    if (this.#handle === undefined) throw new LibtorchOodError("ERR_DISPOSED", `${this.path}: read() after close()`);
    return readExactly(this.#handle, this.path, position, into);
  }

  /** Waits for the reads under way and closes the file. A second call does nothing. */
  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }

  /** Calls {@link close} at the end of an `await using` declaration's block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Opens a file and reads its header only.
 *
 * @param path - the file
 * @throws ERR_IO where the file cannot be read; ERR_CORRUPT_FILE where its header is damaged or does not agree with its size, naming the file, what
 *   was expected and what was found; ERR_OPTION where `path` is no text
 * @example
 * import { files } from "libtorch-ood";
 *
 * await files.writeSafetensors("means.safetensors", [{ name: "means", dtype: "F64", shape: [2], data: new Float64Array([1, 2]) }]);
 * const file = await files.openSafetensors("means.safetensors");
 * const means = files.toValues("F64", await file.read("means")); // Float64Array [1, 2]
 * await file.close();
 */
export function openSafetensors(path: string): Promise<SafetensorsFile> {
  return SafetensorsFile.open(path);
}

/**
 * Reads all of a file. Each tensor has memory of its own.
 *
 * @param path - the file
 * @throws as {@link openSafetensors} and {@link SafetensorsFile.read}
 * @example
 * import { files } from "libtorch-ood";
 *
 * const { metadata, tensors } = await files.readSafetensors("detector.safetensors");
 * for (const [name, { dtype, shape }] of tensors) console.log(name, dtype, shape);
 */
export async function readSafetensors(path: string): Promise<SafetensorsContent> {
  const file = await openSafetensors(path);
  try {
    const tensors = new Map<string, SafetensorsTensor>();
    for (const [name, { dtype, shape }] of file.tensors) tensors.set(name, { dtype, shape, data: await file.read(name) });
    return { metadata: file.metadata, tensors };
  } finally {
    await file.close();
  }
}

/**
 * Reads a file that is in memory. The tensors are views of `bytes`, at whatever offset they lie.
 *
 * @param bytes - the bytes of the file
 * @param source - name of the file in error messages. Default `"safetensors bytes"`.
 * @throws ERR_CORRUPT_FILE where the bytes are damaged; ERR_DTYPE where `bytes` is no Uint8Array; ERR_OPTION where `source` is no text
 */
export function parseSafetensors(bytes: Uint8Array, source = "safetensors bytes"): SafetensorsContent {
  const own = bytesOf(bytes);
  if (own === undefined) fail("ERR_DTYPE", "bytes", "a Uint8Array", bytes);
  return parseBytes(own, string(source, "source"));
}

function parseBytes(bytes: Uint8Array, source: string): SafetensorsContent {
  const length = headerLength(bytes.subarray(0, contentBytes), bytes.length, source);
  const header = parseHeader(bytes.subarray(8, 8 + length), bytes.length, source);
  const tensors = new Map<string, SafetensorsTensor>();
  for (const [name, { dtype, shape, byteOffset, byteLength }] of header.tensors) {
    tensors.set(name, { dtype, shape, data: bytes.subarray(byteOffset, byteOffset + byteLength) });
  }
  return { metadata: header.metadata, tensors };
}

/** A tensor to write. */
export interface SafetensorsInput {
  /** Its name in the file, other than `__metadata__`. */
  readonly name: string;
  /** Element type in the file. */
  readonly dtype: SafetensorsDtype;
  /** Sizes of the dimensions, at most 64; `[]` for a single number. */
  readonly shape: readonly number[];
  /**
   * The elements in row-major order. They must not change until the write has ended.
   *
   * A Uint8Array holds the raw little-endian bytes of any dtype. A typed array of the dtype's own kind serves too: Float64Array for F64, Float32Array
   * for F32, BigInt64Array for I64, Int32Array for I32, Int16Array for I16, Int8Array for I8, BigUint64Array for U64, Uint32Array for U32,
   * Uint16Array for U16, Uint8ClampedArray for U8. A Uint16Array serves for F16 and BF16 too, as bit patterns, and an Int32Array for I64, whose
   * numbers are widened.
   */
  readonly data: SafetensorsArray;
}

/** Options of {@link writeSafetensors}. */
export interface SafetensorsWriteOptions {
  /** Texts by their keys, which the file holds as `__metadata__` in the order given. Default: none. */
  metadata?: ReadonlyMap<string, string> | Readonly<Record<string, string>>;
}

/**
 * Writes a file: the tensors in the order given, their data from a multiple of 8 on. The file appears at once and whole; where the write fails, the
 * file that was at the path is unchanged. The same input gives the same bytes. Tensors are not copied, so that a file of any size takes little
 * memory.
 *
 * @param path - the file
 * @param tensors - the tensors, each with another name
 * @param options - metadata
 * @throws before anything is written: ERR_OPTION for a name that appears twice or is reserved, an unknown dtype, or text that UTF-8 cannot hold;
 *   ERR_SHAPE where a shape is no list of sizes, or does not agree with the data; ERR_DTYPE where the kind of array does not fit the dtype; ERR_RANGE
 *   for a header above 100 MB. Later: ERR_IO where the file cannot be written; ERR_SHAPE where the memory of an array goes before it is written
 * @example
 * import { files } from "libtorch-ood";
 *
 * const features = new Float32Array([1, 2, 3, 4, 5, 6]);
 * const tensors: files.SafetensorsInput[] = [{ name: "features", dtype: "F32", shape: [2, 3], data: features }];
 * await files.writeSafetensors("features.safetensors", tensors, { metadata: { layer: "penultimate" } });
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<SafetensorsInput>,
  options?: SafetensorsWriteOptions,
): Promise<void> {
  const file = string(path, "path");
  const { plan, data } = planOf(tensors, options);
  await writeTensors(file, plan, dataOf(data));
}

/** The bytes that {@link writeSafetensors} writes, in memory. */
export function serializeSafetensors(tensors: Iterable<SafetensorsInput>, options?: SafetensorsWriteOptions): Uint8Array {
  const { plan, data } = planOf(tensors, options);
  const chunks = [formatHeader(plan), ...data.map(({ bytes }) => bytes)];
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const bytes = allocateBytes(length, "safetensors");
  let position = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, position);
    position += chunk.length;
  }
  return bytes;
}

interface TensorData {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly byteLength: number;
}

function planOf(tensors: Iterable<SafetensorsInput>, options?: SafetensorsWriteOptions): { plan: SafetensorsPlan; data: TensorData[] } {
  const { metadata } = optionsObject(options, "options", ["metadata"]);
  const planned: PlannedTensor[] = [];
  const data: TensorData[] = [];
  const names = new Set<string>();
  let headerLength = 2;
  const list: unknown = tensors;
  if (typeof list !== "object" || list === null || isRevoked(list) || !(Symbol.iterator in list)) {
    fail("ERR_OPTION", "tensors", "an array or another iterable of tensors", list);
  }
  for (const tensor of tensors) {
    if (typeof tensor !== "object" || tensor === null) fail("ERR_OPTION", "tensor", "{ name, dtype, shape, data }", tensor);
    const name = writableText(tensor.name, "tensor name");
    if (name === "__metadata__") throw new LibtorchOodError("ERR_OPTION", "tensor name: __metadata__ is reserved by the format");
    if (names.has(name)) throw new LibtorchOodError("ERR_OPTION", `tensor name: ${describe(name)} is given twice`);
    names.add(name);
    const { dtype } = tensor;
    if (!isSafetensorsDtype(dtype)) fail("ERR_OPTION", `dtype of ${describe(name)}`, `one of ${safetensorsDtypes.join(", ")}`, dtype);
    const given = tensor.shape;
    const shape = shortList(given, maxDimensions) as number[] | undefined;
    if (!shape?.every((size) => Number.isSafeInteger(size) && size >= 0)) {
      fail("ERR_SHAPE", `shape of ${describe(name)}`, `an array of non-negative integers, ${maxDimensions} at most`, given);
    }
    const bytes = toBytes(dtype, tensor.data, `data of ${describe(name)}`);
    const byteLength = tensorByteLength(dtype, shape);
    if (bytes.length !== byteLength) {
      const expected = `${byteLength ?? "more than 2^53"} bytes for ${dtype} [${shape.join(", ")}]`;
      throw new LibtorchOodError("ERR_SHAPE", `data of ${describe(name)}: expected ${expected}, found ${bytes.length} bytes`);
    }
    planned.push({ name, dtype, shape });
    headerLength += leastEntryBytes + name.length;
    if (headerLength > maxHeaderBytes) throw headerTooLong("more"); // known before an endless list has filled the memory

    data.push({ name, bytes, byteLength });
  }
  return { plan: { tensors: planned, metadata: metadataMap(metadata) }, data };
}

/**
 * The bytes one by one, as they are written: the arrays are the caller's.
 *
 * @throws ERR_SHAPE where the memory of one has gone since the header was made
 */
function* dataOf(data: readonly TensorData[]): Generator<[string, Uint8Array]> {
  for (const { name, bytes, byteLength } of data) {
    if (bytes.length !== byteLength) {
      const expected = `${byteLength} bytes until they are written (has their buffer been transferred?)`;
      fail("ERR_SHAPE", `data of ${describe(name)}`, expected, bytes);
    }
    yield [name, bytes];
  }
}

/** The length of an entry with an empty name and shape. */
const leastEntryBytes = '"":{"dtype":"F4","shape":[],"data_offsets":[0,0]},'.length;

function metadataMap(metadata: SafetensorsWriteOptions["metadata"]): Map<string, string> {
  if (metadata === undefined) return new Map();
  if (typeof metadata !== "object" || metadata === null) fail("ERR_OPTION", "metadata", "a Map or an object of strings", metadata);
  const isMap = Object.prototype.toString.call(metadata) === "[object Map]";
  const pairs = isMap ? (metadata as ReadonlyMap<string, string>) : Object.entries(metadata as Readonly<Record<string, string>>);
  const checked = new Map<string, string>();
  for (const [key, value] of pairs) {
    checked.set(writableText(key, "metadata key"), writableText(value, `metadata ${describe(key)}`));
  }
  return checked;
}

function writableText(value: unknown, name: string): string {
  const text = string(value, name);
  if (hasLoneSurrogate(text)) throw new LibtorchOodError("ERR_OPTION", `${name}: half of a surrogate pair in ${describe(text)}`);
  return text;
}
