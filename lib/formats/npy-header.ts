// The header of a .npy file: magic, version, length, and a Python dictionary literal that gives dtype, order and shape.

import { describeContent } from "./content-kind";
import { dtypeNamed, dtypes, maxDimensions, type ArrayDtype, type PlainDtype } from "../core/dtype";
import { corruptFile } from "../core/file-errors";
import type { ArrayLayout } from "./plain-values";

/** NumPy, too, evaluates no header longer than 10,000 characters of an untrusted file (numpy.lib.format, `max_header_size`). */
const maxDictionaryBytes = 10_000;
/** Magic, version and the longer of the two length fields, then the dictionary. */
export const maxNpyHeaderBytes = 12 + maxDictionaryBytes;
const magic = "\x93NUMPY";
/** Room for the largest int64 in the first dimension, as in numpy.lib.format, so that a header can be rewritten in place. */
const growthDigits = 21;
const alignment = 64;

/** The whole header of a row-major array, byte for byte NumPy's: its length does not depend on the first size. */
export function formatNpyHeader(dtype: PlainDtype | "float16", shape: readonly number[]): Uint8Array {
  const [first] = shape;
  const tuple = shape.length === 1 ? `(${first},)` : `(${shape.join(", ")})`;
  const growth = first === undefined ? "" : " ".repeat(growthDigits - String(first).length);
  const dictionary = `{'descr': '<${dtypes[dtype].numpy}', 'fortran_order': False, 'shape': ${tuple}, }${growth}`;
  const padding = alignment - ((magic.length + 4 + dictionary.length + 1) % alignment);
  const text = `${dictionary}${" ".repeat(padding)}\n`;
  const bytes = Buffer.from(`${magic}\x01\x00\0\0${text}`, "latin1");
  bytes.writeUInt16LE(text.length, 8);
  return new Uint8Array(bytes);
}

export interface NpyHeader extends ArrayLayout {
  readonly dataOffset: number;
}

/**
 * @param start - the first {@link maxNpyHeaderBytes} bytes of the file, or all of them
 * @throws ERR_CORRUPT_FILE
 */
export function parseNpyHeader(start: Uint8Array, path: string): NpyHeader {
  const bytes = Buffer.from(start.buffer, start.byteOffset, start.byteLength);
  if (bytes.toString("latin1", 0, 6) !== magic) throw corruptFile(path, "a .npy file", describeContent(bytes));
  if (bytes.length < 10) throw corruptFile(path, "a whole header of a .npy file", `${bytes.length} bytes`);
  const version = `${bytes[6]}.${bytes[7]}`;
  if (!["1.0", "2.0", "3.0"].includes(version)) throw corruptFile(path, "version 1.0, 2.0 or 3.0 of the .npy format", version);
  const short = version === "1.0";
  if (!short && bytes.length < 12) throw corruptFile(path, "a whole header of a .npy file", `${bytes.length} bytes`);
  const length = short ? bytes.readUInt16LE(8) : bytes.readUInt32LE(8);
  const begin = short ? 10 : 12;
  if (length > maxDictionaryBytes) throw corruptFile(path, `a header of at most ${maxDictionaryBytes} bytes`, `${length}`);
  if (begin + length > bytes.length) throw corruptFile(path, `a header of ${length} bytes`, `the end of the file`);
  const text = bytes.toString(version === "3.0" ? "utf8" : "latin1", begin, begin + length);
  return { ...parseDictionary(text, path), dataOffset: begin + length };
}

const entry = /\s*(['"])(descr|fortran_order|shape)\1\s*:\s*(?:(['"])([^'"\\]*)\3|(True|False)|\(([\d\sL,]*)\)|(\[))/y;

/** Reads the literals that NumPy writes, in any order and spacing; other Python literals are refused. */
function parseDictionary(text: string, path: string): Omit<NpyHeader, "dataOffset"> {
  const refuse = (): never => {
    throw corruptFile(path, "a dictionary of 'descr', 'fortran_order' and 'shape' as header", JSON.stringify(text.trim().slice(0, 100)));
  };
  const opening = /^\s*\{/.exec(text);
  if (opening === null) return refuse();
  let position = opening[0].length;
  const found = new Map<string, { text?: string; flag?: boolean; sizes?: string; list?: boolean }>();
  for (;;) {
    entry.lastIndex = position;
    const match = entry.exec(text);
    if (match === null) break;
    const [whole, , key, quote, value, flag, sizes, list] = match;
    if (found.has(key as string)) return refuse();
    if (list !== undefined && key !== "descr") throw corruptFile(path, `a tuple as ${key} in the header`, "a list");
    if (list !== undefined) throw corruptFile(path, wantedDtypes, "a structured array");
    found.set(key as string, { text: quote && (value ?? ""), flag: flag === undefined ? undefined : flag === "True", sizes });
    position += whole.length;
    const comma = /\s*,/y;
    comma.lastIndex = position;
    const separator = comma.exec(text);
    if (separator === null) break;
    position += separator[0].length;
  }
  if (!/^\s*\}\s*$/.test(text.slice(position))) return refuse();
  const descr = found.get("descr")?.text;
  const fortran = found.get("fortran_order")?.flag;
  const sizes = found.get("shape")?.sizes;
  if (descr === undefined || fortran === undefined || sizes === undefined) return refuse();
  const shape = parseShape(sizes) ?? refuse();
  const [, order, element] = /^([<>=|]?)([a-z]\d+|\?)$/.exec(descr) ?? [];
  const stored = dtypeNamed("numpy", element === "?" ? "b1" : element);
  if (stored === undefined) throw corruptFile(path, wantedDtypes, JSON.stringify(descr));
  return { stored: stored as ArrayDtype, bigEndian: order === ">", fortran, shape };
}

const wantedDtypes = "real numbers (float16 to float64, integers or bool)";

/** `()`, `(3,)`, `(3, 4)`; Python 2 wrote `(3L,)`. */
function parseShape(text: string): number[] | undefined {
  const trimmed = text.trim();
  if (trimmed === "") return [];
  const parts = trimmed.replace(/,$/, "").split(",");
  if (parts.length > maxDimensions || (parts.length === 1 && !trimmed.endsWith(","))) return undefined;
  const sizes = parts.map((part) => (/^\s*\d{1,16}L?\s*$/.test(part) ? Number(part.replace("L", "")) : NaN));
  return sizes.every(Number.isSafeInteger) ? sizes : undefined;
}
