// MATLAB 5 files (`save -v6` and `-v7`): reads the named numeric arrays that are asked for, whether they lie there as they are or deflated.
// Source: MathWorks, "MAT-File Format", level 5.

import type { FileHandle } from "node:fs/promises";
import { endianness } from "node:os";
import { describe } from "../core/checks";
import { arrayOf, bytesPerElement, dtypeNamed, type ArrayDtype, type ArrayOfDtype } from "../core/dtype";
import { swapBytes } from "./byte-order";
import { contentKind } from "./content-kind";
import { corruptFile } from "../core/file-errors";
import { filePart, inflatedPart, type ByteReader } from "./mat5-bytes";
import { allocateBytes, openRegularFile, readExactly } from "./regular-file";

/** The values as they are stored, which may be narrower than the class: MATLAB keeps a double array of small integers as bytes. */
export type MatValues = ArrayOfDtype[ArrayDtype];

/** What is known of an array before its values are read. */
export interface MatHeader {
  readonly name: string;
  /** "double", "uint8", … */
  readonly className: string;
  /** At least two sizes; none of an opaque object. */
  readonly shape: readonly number[];
}

export interface MatArray extends MatHeader {
  /** As many values as the sizes multiply to, the first dimension fastest (Fortran's order). */
  readonly values: MatValues;
}

const [matrixType, compressedType] = [14, 15];
const classNames = [
  "none",
  "cell",
  "struct",
  "object",
  "char",
  "sparse",
  "double",
  "single",
  "int8",
  "uint8",
  "int16",
  "uint16",
  "int32",
  "uint32",
  "int64",
  "uint64",
  "function",
  "opaque",
];
/** A string, a table and other objects of MATLAB's classes: they have a name and no sizes. */
const opaqueClass = 17;
const numericClasses = { first: 6, last: 15 };
const complexFlag = 0x08;

const headerBytes = 128;
/** MATLAB allows 63 characters; other programs write more. */
const maxNameBytes = 4096;
const maxDimensions = 32;
/** Each costs a read; a file of nothing but empty arrays would be walked for hours. */
const maxArrays = 16_384;
/** Deflate cannot compress better than this. */
const maximumCompression = 1032;

/**
 * Reads the arrays called `names`. Others are passed over unread, of whatever kind they are. Inflating runs on Node's pool, not on the JavaScript
 * thread, and goes no further than the array says that it is long.
 *
 * @param check - called with each wanted array's header before memory is taken for the values of any; throws where it is not what it should be
 * @returns the arrays by name
 * @throws ERR_CORRUPT_FILE for another format (version 7.3 is HDF5), where one of `names` is missing, there twice or is no real numeric array, where a size says
 *   more than the file holds, or a deflate stream is damaged; ERR_IO; ERR_OUT_OF_MEMORY
 */
export async function readMat5(
  path: string,
  names: readonly string[],
  check: (header: MatHeader) => void,
): Promise<ReadonlyMap<string, MatArray>> {
  const { handle, size } = await openRegularFile(path);
  try {
    const littleEndian = await readByteOrder(handle, path, size);
    const places = new Map<string, Place>();
    const others: string[] = [];
    const reading = <T>(
      { start, length, deflated }: Place,
      read: (array: ArrayReader, header: MatHeader) => T | Promise<T>,
    ): Promise<T> => {
      const bytes = deflated ? inflatedPart(handle, path, start, length) : filePart(handle, path, start, length);
      const array = new ArrayReader(path, bytes, littleEndian, deflated ? length * maximumCompression : length);
      return array
        .header(deflated)
        .then((header) => read(array, header))
        .finally(() => bytes.close());
    };
    let arrays = 0;
    for (let position = headerBytes; position < size;) {
      if (++arrays > maxArrays) throw corruptFile(path, `at most ${maxArrays} arrays`, "more");
      const tag = new DataView(new ArrayBuffer(8));
      await readExactly(handle, path, position, new Uint8Array(tag.buffer));
      const [type, length] = [tag.getUint32(0, littleEndian), tag.getUint32(4, littleEndian)];
      const start = position + 8;
      if (type !== matrixType && type !== compressedType) {
        throw corruptFile(path, `an array (type 14 or 15) at byte ${position}`, `type ${type}`);
      }
      if (length > size - start) throw corruptFile(path, `${length} bytes from byte ${start} on`, `${size - start}, the end of the file`);
      if (length > 0) {
        const place = { start, length, deflated: type === compressedType };
        // Once all are found only a name counts: of an array behind them, nothing else is asked.
        const complete = places.size === names.length;
        const header = await reading(place, (_, found) => found).catch((error: unknown) => {
          if (complete && (error as { code?: unknown }).code === "ERR_CORRUPT_FILE") return undefined;
          throw error;
        });
        if (header !== undefined && !names.includes(header.name)) others.push(header.name);
        else if (header !== undefined && places.has(header.name)) throw corruptFile(path, `one array ${describe(header.name)}`, "two");
        else if (header !== undefined) {
          check(header);
          places.set(header.name, place);
        }
      }
      position = start + length;
    }
    const missing = names.filter((name) => !places.has(name));
    if (missing.length > 0) {
      const there = [...places.keys(), ...others].slice(0, 10).map(describe).join(", ");
      throw corruptFile(path, `an array ${describe(missing[0])}`, there === "" ? "no arrays" : `only ${there}`);
    }
    const found = new Map<string, MatArray>();
    for (const [name, place] of places) {
      found.set(name, await reading(place, async (array, header) => ({ ...header, values: await array.values(header) })));
    }
    return found;
  } finally {
    await handle.close();
  }
}

/** Where an array lies in the file. */
interface Place {
  readonly start: number;
  readonly length: number;
  readonly deflated: boolean;
}

/** Checks the 128 bytes at the start. @returns whether numbers are little-endian */
async function readByteOrder(handle: FileHandle, path: string, size: number): Promise<boolean> {
  const bytes = Buffer.alloc(headerBytes);
  await readExactly(handle, path, 0, bytes.subarray(0, Math.min(size, headerBytes)));
  const order = bytes.toString("latin1", 126);
  const version = order === "IM" ? bytes.readUInt16LE(124) : bytes.readUInt16BE(124);
  if ((order === "IM" || order === "MI") && version === 0x0100) return order === "IM";
  const hdf5 = version === 0x0200 || bytes.toString("latin1", 1, 4) === "HDF";
  const kind = contentKind(bytes.subarray(0, size));
  const other = kind === undefined || kind.startsWith("a MATLAB") ? "another kind of file" : kind;
  const found = hdf5
    ? "version 7.3, which is HDF5 (save it with -v7)"
    : size < headerBytes && (size === 0 || other !== kind)
      ? `${size} bytes`
      : other;
  throw corruptFile(path, "a MATLAB 5 file (saved with -v6 or -v7)", found);
}

/** Reads one array element after element, never past the length that its tag gives. */
class ArrayReader {
  #left: number;
  #complex = false;
  #classCode = 0;

  constructor(
    private readonly path: string,
    private readonly bytes: ByteReader,
    private readonly littleEndian: boolean,
    /** Bytes of the array itself, or more than can be inflated. */
    private readonly limit: number,
  ) {
    this.#left = limit;
  }

  /** @param tagged - the array's own tag comes first, as it does in deflated ones */
  async header(tagged: boolean): Promise<MatHeader> {
    if (tagged) {
      const { type, length } = await this.#tag();
      if (type !== matrixType) throw corruptFile(this.path, "an array (type 14) in what is deflated", `type ${type}`);
      if (length > this.#left) throw corruptFile(this.path, `an array of ${length} bytes`, `deflated bytes for at most ${this.limit}`);
      this.#left = length;
    }
    const flags = await this.#small([6], 8, "flags of an array");
    if (flags.byteLength !== 8) throw corruptFile(this.path, "8 bytes of flags of an array", `${flags.byteLength}`);
    const word = flags.getUint32(0, this.littleEndian);
    this.#classCode = word & 0xff;
    this.#complex = ((word >> 8) & complexFlag) !== 0;
    if (this.#classCode === opaqueClass) return { name: await this.#name(), className: "opaque", shape: [] };
    const sizes = await this.#small([5, 6], 4 * maxDimensions, "sizes of an array");
    const shape = Array.from({ length: sizes.byteLength >> 2 }, (_, i) => sizes.getInt32(4 * i, this.littleEndian));
    if (shape.length < 2 || sizes.byteLength % 4 !== 0 || shape.some((length) => length < 0)) {
      throw corruptFile(this.path, "2 or more sizes of an array, none negative", `[${shape.join(", ")}]`);
    }
    return {
      name: await this.#name(),
      className: classNames[this.#classCode] ?? `class ${this.#classCode}`,
      shape,
    };
  }

  async #name(): Promise<string> {
    const name = await this.#small([1, 2, 16], maxNameBytes, "name of an array");
    return Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString("utf8");
  }

  async values({ name, className, shape }: MatHeader): Promise<MatValues> {
    const what = `array ${describe(name)}`;
    if (this.#classCode < numericClasses.first || this.#classCode > numericClasses.last) {
      throw corruptFile(this.path, `${what} to be numeric`, className);
    }
    if (this.#complex) throw corruptFile(this.path, `${what} to be real`, "complex numbers");
    const { type, length, inline } = await this.#tag();
    const dtype = dtypeNamed("matlab", type) as ArrayDtype | undefined;
    if (dtype === undefined) throw corruptFile(this.path, `numbers in ${what}`, `type ${type}`);
    const expected = shape.reduce((product, size) => product * size, bytesPerElement(dtype));
    if (length !== expected) throw corruptFile(this.path, `${expected} bytes for [${shape.join(", ")}] in ${what}`, `${length}`);
    if (length > this.#left && inline === undefined) throw this.#tooShort(length, what);
    const bytes = allocateBytes(length, `${this.path}: ${what}`);
    if (inline === undefined) {
      await this.#read(bytes);
      await this.#skipPadding(length);
    } else bytes.set(inline.subarray(0, length));
    if (this.#left !== 0) throw corruptFile(this.path, `${what} to end with its values`, `${this.#left} bytes more`);
    await this.bytes.finish();
    if (this.littleEndian !== (endianness() === "LE")) swapBytes(bytes, bytesPerElement(dtype));
    return arrayOf(dtype, bytes.buffer);
  }

  /** An element of a few bytes, of one of these types. */
  async #small(types: readonly number[], limit: number, what: string): Promise<DataView> {
    const { type, length, inline } = await this.#tag();
    if (!types.includes(type)) throw corruptFile(this.path, `the ${what} (type ${types.join(" or ")})`, `type ${type}`);
    if (inline !== undefined) return new DataView(inline.buffer, inline.byteOffset, length);
    if (length > limit) throw corruptFile(this.path, `at most ${limit} bytes for the ${what}`, `${length}`);
    if (length > this.#left) throw this.#tooShort(length, what);
    const bytes = new Uint8Array(length);
    await this.#read(bytes);
    await this.#skipPadding(length);
    return new DataView(bytes.buffer);
  }

  /** The tag of an element; one of up to four bytes lies in the tag itself, its length in the upper half of the type. */
  async #tag(): Promise<{ type: number; length: number; inline?: Uint8Array<ArrayBuffer> }> {
    if (this.#left < 8) throw this.#tooShort(8, "tag of an element");
    const bytes = new Uint8Array(8);
    await this.#read(bytes);
    const view = new DataView(bytes.buffer);
    const word = view.getUint32(0, this.littleEndian);
    const length = word >>> 16;
    if (length === 0) return { type: word, length: view.getUint32(4, this.littleEndian) };
    if (length > 4) throw corruptFile(this.path, "at most 4 bytes in the tag of an element", `${length}`);
    return { type: word & 0xffff, length, inline: bytes.subarray(4) };
  }

  async #read(into: Uint8Array): Promise<void> {
    await this.bytes.read(into);
    this.#left -= into.length;
  }

  /** Elements begin at multiples of eight; some programs leave that out after the last. */
  async #skipPadding(length: number): Promise<void> {
    await this.#read(new Uint8Array(Math.min((8 - (length % 8)) % 8, this.#left)));
  }

  #tooShort(length: number, what: string): Error {
    return corruptFile(this.path, `${length} bytes for the ${what}`, `${this.#left} left in its array`);
  }
}
