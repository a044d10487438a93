// The JSON header of a safetensors file, read without trusting any of it.
//
// Format: https://github.com/huggingface/safetensors (README, "Format"). The header has a grammar of its own, so it is parsed directly:
// duplicate keys are seen, keys such as "__proto__" are plain strings in a Map, and memory stays in proportion to the text.

import { setImmediate as turn } from "node:timers/promises";
import { describe } from "../core/checks";
import type { LibtorchOodError } from "../core/errors";
import { contentKind } from "./content-kind";
import { corruptFile } from "../core/file-errors";
import { bytesPerElement, maxDimensions } from "../core/dtype";
import { dtypeIn, isSafetensorsDtype, safetensorsDtypes, type SafetensorsDtype } from "./safetensors-data";

/** The limit that the format's own reader sets. */
export const maxHeaderBytes = 100_000_000;
/** Far beyond any model, far below what would exhaust memory. */
const maxEntries = 1_000_000;
/** Read between turns of the event loop: about a millisecond. */
const entriesPerTurn = 500;
const openingBrace = 0x7b;

/** Where a tensor lies in a file. */
export interface SafetensorsEntry {
  /** Element type. */
  readonly dtype: SafetensorsDtype;
  /** Sizes of the dimensions; `[]` for a single number. */
  readonly shape: readonly number[];
  /** Place of its first byte, from the start of the file. */
  readonly byteOffset: number;
  /** Number of its bytes. */
  readonly byteLength: number;
}

export interface SafetensorsHeader {
  readonly metadata: ReadonlyMap<string, string>;
  /** In the order of the header. */
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
}

/**
 * The length of the header that follows the first 8 bytes.
 *
 * @param prefix - the first bytes of the file, 8 at least, or all of a shorter one; the more there are, the better is told what another kind of file is
 * @param fileSize - of the whole file, bytes
 * @throws ERR_CORRUPT_FILE
 */
export function headerLength(prefix: Uint8Array, fileSize: number, file: string): number {
  if (prefix.length < 8) throw corruptFile(file, "a safetensors file of at least 10 bytes", `${fileSize} bytes`);
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  const limit = Math.min(maxHeaderBytes, fileSize - 8);
  const fits = length >= 2n && length <= BigInt(limit);
  // Last, since a length may look like the beginning of anything.
  const kind = fits && (prefix.length === 8 || prefix[8] === openingBrace) ? undefined : contentKind(prefix);
  if (kind !== undefined && kind !== "a safetensors file") throw corruptFile(file, "a safetensors file", kind);
  if (!fits) {
    throw corruptFile(file, `a safetensors header of 2 to ${limit} bytes (the file has ${fileSize})`, `a header length of ${length}`);
  }
  return Number(length);
}

/**
 * Parses a header and checks it against the size of the file: known dtypes, shapes whose product does not overflow, byte
 * ranges that agree with dtype and shape and cover the data from end to end, without overlap or hole.
 *
 * @throws ERR_CORRUPT_FILE
 */
export function parseHeader(header: Uint8Array, fileSize: number, file: string): SafetensorsHeader {
  const steps = headerSteps(header, fileSize, file);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** As {@link parseHeader}, leaving the event loop free meanwhile: a header of 100 MB takes seconds. */
export async function parseHeaderInTurns(header: Uint8Array, fileSize: number, file: string): Promise<SafetensorsHeader> {
  const steps = headerSteps(header, fileSize, file);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    await turn();
  }
}

/** Yields now and then, and gives the header at the end. */
function* headerSteps(header: Uint8Array, fileSize: number, file: string): Generator<undefined, SafetensorsHeader> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(header);
  } catch (error) {
    throw corruptFile(file, "a safetensors header in UTF-8", "bytes that are not", error);
  }
  if (!text.startsWith("{")) throw corruptFile(file, 'a safetensors header that begins with "{"', describe(text.slice(0, 20)));
  yield undefined;
  let metadata: Map<string, string> | undefined;
  const tensors = new Map<string, SafetensorsEntry>();
  const dataStart = 8 + header.length;
  const cursor = new HeaderCursor(text, file);
  let entries = 0;
  for (const name of cursor.keys("the header", (key) => (key === "__metadata__" ? metadata !== undefined : tensors.has(key)))) {
    if (name === "__metadata__") {
      const texts = new Map<string, string>();
      metadata = texts;
      if (cursor.takesNull()) continue;
      for (const key of cursor.keys("__metadata__", (other) => texts.has(other))) {
        texts.set(key, cursor.string(`the text of metadata ${describe(key)}`));
        if (++entries % entriesPerTurn === 0) yield undefined;
      }
    } else {
      tensors.set(name, parseEntry(cursor, name, dataStart));
      if (++entries % entriesPerTurn === 0) yield undefined;
    }
  }
  cursor.end();
  yield undefined;
  checkCoverage(tensors, dataStart, fileSize, file);
  return { metadata: metadata ?? new Map<string, string>(), tensors };
}

function parseEntry(cursor: HeaderCursor, name: string, dataStart: number): SafetensorsEntry {
  const of = `of tensor ${describe(name)}`;
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  const taken = (key: string): boolean =>
    (key === "dtype" ? dtype : key === "shape" ? shape : key === "data_offsets" && offsets) !== undefined;
  for (const key of cursor.keys(`the entry ${of}`, taken)) {
    if (key === "dtype") dtype = cursor.string(`the dtype ${of}`);
    else if (key === "shape") shape = cursor.integers(`the shape ${of}`, maxDimensions);
    else if (key === "data_offsets") offsets = cursor.integers(`data_offsets ${of}`, 2);
    else throw cursor.corrupt(`dtype, shape and data_offsets ${of}`, `the key ${describe(key)}`);
  }
  if (dtype === undefined || shape === undefined || offsets === undefined) {
    const missing = dtype === undefined ? "dtype" : shape === undefined ? "shape" : "data_offsets";
    throw cursor.corrupt(`dtype, shape and data_offsets ${of}`, `no ${missing}`);
  }
  if (!isSafetensorsDtype(dtype)) throw cursor.corrupt(`a dtype ${of} out of ${safetensorsDtypes.join(", ")}`, describe(dtype));
  const byteLength = tensorByteLength(dtype, shape);
  if (byteLength === undefined) throw cursor.corrupt(`a shape ${of} that fits in memory`, `[${shape.join(", ")}]`);
  const [begin, end] = offsets;
  if (begin === undefined || end === undefined || end - begin !== byteLength || !Number.isSafeInteger(dataStart + end)) {
    const needed = `data_offsets ${of} that span the ${byteLength} bytes of ${dtype} [${shape.join(", ")}]`;
    throw cursor.corrupt(needed, `[${offsets.join(", ")}]`);
  }
  return { dtype, shape: Object.freeze(shape), byteOffset: dataStart + begin, byteLength };
}

/** Bytes of a tensor; undefined where that is no safe integer, or where its last byte would be a part of one. */
export function tensorByteLength(dtype: SafetensorsDtype, shape: readonly number[]): number | undefined {
  let product = 1;
  for (const size of shape) {
    product *= size;
    if (!Number.isSafeInteger(product)) return undefined;
  }
  const bytes = product * bytesPerElement(dtypeIn(dtype));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

function checkCoverage(tensors: ReadonlyMap<string, SafetensorsEntry>, dataStart: number, fileSize: number, file: string): void {
  const inFile = [...tensors];
  const following = ([, a]: (typeof inFile)[number], [, b]: (typeof inFile)[number]): number =>
    a.byteOffset - b.byteOffset || a.byteLength - b.byteLength;
  const sorted = inFile.every((tensor, i) => i === 0 || following(inFile[i - 1] as typeof tensor, tensor) <= 0);
  if (!sorted) inFile.sort(following);
  let position = dataStart;
  for (const [name, { byteOffset, byteLength }] of inFile) {
    if (byteOffset !== position) {
      const fault = byteOffset > position ? "a hole before it" : "an overlap with the one before";
      throw corruptFile(file, `tensor ${describe(name)} at data offset ${position - dataStart}`, `${byteOffset - dataStart} (${fault})`);
    }
    position += byteLength;
  }
  if (position !== fileSize) throw corruptFile(file, `${position} bytes by its header`, `${fileSize} bytes`);
}

/** A position in the header's text, and the few productions of JSON that a header consists of. */
class HeaderCursor {
  readonly #text: string;
  readonly #file: string;
  #position = 0;
  /** Place of the first backslash from the position on. It is looked for once, not at every string. */
  #backslash = -1;

  constructor(text: string, file: string) {
    this.#text = text;
    this.#file = file;
  }

  corrupt(expected: string, found: string, cause?: unknown): LibtorchOodError {
    return corruptFile(this.#file, expected, `${found} (safetensors header, character ${this.#position})`, cause);
  }

  /** The keys of an object. Who asks for the next has read the value of the one before. `taken`: whether a key was there already. */
  *keys(what: string, taken: (key: string) => boolean): Generator<string> {
    this.#token("{", what);
    if (this.#takes("}")) return;
    let count = 0;
    do {
      const key = this.string(`a key in ${what}`);
      if (taken(key)) throw this.corrupt(`distinct keys in ${what}`, `${describe(key)} twice`);
      if (count++ === maxEntries) throw this.corrupt(`at most ${maxEntries} keys in ${what}`, "more");
      this.#token(":", what);
      yield key;
    } while (this.#takes(","));
    this.#token("}", what);
  }

  /** The official reader takes null for no metadata, and some writers write it. */
  takesNull(): boolean {
    this.#skipSpace();
    if (!this.#text.startsWith("null", this.#position)) return false;
    this.#position += 4;
    return true;
  }

  /** An array of at most `limit` non-negative safe integers. */
  integers(what: string, limit: number): number[] {
    const values: number[] = [];
    this.#token("[", what);
    if (this.#takes("]")) return values;
    do {
      if (values.length === limit) throw this.corrupt(`at most ${limit} numbers in ${what}`, "more");
      values.push(this.#integer(what));
    } while (this.#takes(","));
    this.#token("]", what);
    return values;
  }

  string(what: string): string {
    this.#skipSpace();
    const start = this.#position;
    if (this.#text[start] !== '"') throw this.corrupt(`a string for ${what}`, this.#next());
    let end = this.#text.indexOf('"', start + 1);
    if (this.#backslash < start) this.#backslash = this.#find("\\", start);
    if (this.#backslash < end || end < 0) {
      end = start + 1;
      while (end < this.#text.length && this.#text[end] !== '"') end += this.#text[end] === "\\" ? 2 : 1;
    }
    let value: string;
    try {
      value = JSON.parse(this.#text.slice(start, end + 1)) as string;
    } catch (error) {
      throw this.corrupt(`a JSON string for ${what}`, this.#next(), error);
    }
    if (hasLoneSurrogate(value)) throw this.corrupt(`Unicode text for ${what}`, "half of a surrogate pair");
    this.#position = end + 1;
    return value;
  }

  end(): void {
    this.#skipSpace();
    if (this.#position < this.#text.length) throw this.corrupt("spaces after the header's object", this.#next());
  }

  #integer(what: string): number {
    this.#skipSpace();
    const pattern = /(?:0|[1-9][0-9]{0,15})(?![0-9.eE])/y;
    pattern.lastIndex = this.#position;
    const digits = pattern.exec(this.#text)?.[0];
    if (digits === undefined || !Number.isSafeInteger(Number(digits))) {
      throw this.corrupt(`integers from 0 to 2^53 - 1 in ${what}`, this.#next());
    }
    this.#position += digits.length;
    return Number(digits);
  }

  #token(token: string, what: string): void {
    if (!this.#takes(token)) throw this.corrupt(`"${token}" in ${what}`, this.#next());
  }

  #takes(token: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#position] !== token) return false;
    this.#position++;
    return true;
  }

  /** A loop and not a pattern: on tens of megabytes of spaces V8's patterns can run out of stack. */
  #skipSpace(): void {
    const text = this.#text;
    let position = this.#position;
    let code = text.charCodeAt(position);
    while (code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d) code = text.charCodeAt(++position);
    this.#position = position;
  }

  /** Place of the next such character, or the end of the text where there is none. */
  #find(character: string, from: number): number {
    const at = this.#text.indexOf(character, from);
    return at < 0 ? this.#text.length : at;
  }

  #next(): string {
    const next = this.#text.slice(this.#position, this.#position + 20);
    return next === "" ? "its end" : describe(next);
  }
}

/** True for text that UTF-8 cannot hold. */
export function hasLoneSurrogate(text: string): boolean {
  return /\p{Surrogate}/u.test(text);
}
