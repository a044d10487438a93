// Python pickles of plain data, as the Python versions of CIFAR are: dictionaries, lists, numbers, strings, numpy's integers, alone and in arrays. Nothing
// in a pickle is called or imported: one that asks for anything else is refused. Source: CPython, Lib/pickletools.py (protocols 2 to 5).

import { describe } from "../core/checks";
import { describeContent } from "./content-kind";
import { corruptFile } from "../core/file-errors";
import { bytesPerElement } from "../core/dtype";
import { integerDtype, integersOf, PickledArray, type PickledInteger } from "./pickle-integers";

/** Lists and tuples are arrays. Byte strings are text, a character a byte, as with `encoding="latin1"` in Python. */
export type Pickled = null | boolean | number | string | PickledArray | readonly Pickled[] | ReadonlyMap<string, Pickled>;

const mark = Symbol("mark");
/** The only names that a pickle may import: each stands for a step in making an array. */
const imports = new Map([
  ["numpy.core.multiarray _reconstruct", "reconstruct"],
  ["numpy._core.multiarray _reconstruct", "reconstruct"],
  ["numpy.core.numeric _frombuffer", "frombuffer"],
  ["numpy._core.numeric _frombuffer", "frombuffer"],
  ["numpy ndarray", "ndarray"],
  ["numpy dtype", "dtype"],
  ["numpy.core.multiarray scalar", "scalar"],
  ["numpy._core.multiarray scalar", "scalar"],
  ["_codecs encode", "encode"],
]);
class Import {
  constructor(readonly step: string | undefined) {}
}
/** Bytes of the pickle. Their text is made once, however often they are used: otherwise a few opcodes would fill any memory with copies. */
class ByteString {
  #text: string | undefined;

  constructor(
    private readonly whole: Uint8Array,
    private readonly start: number,
    readonly length: number,
  ) {}

  /** A view: one for each of a million names would be several times as large as the names. */
  get bytes(): Uint8Array {
    return this.whole.subarray(this.start, this.start + this.length);
  }

  get text(): string {
    const { buffer, byteOffset } = this.whole;
    return (this.#text ??= Buffer.from(buffer, byteOffset + this.start, this.length).toString("latin1"));
  }
}
class Dtype {
  /** Byte order as NumPy writes it: "<", ">", or "|" for bytes. */
  order = "|";

  constructor(readonly code: string) {}

  /** undefined for floats, text, objects and the like. */
  get integer(): PickledInteger | undefined {
    const dtype = integerDtype(this.code);
    return dtype && { dtype, littleEndian: this.order !== ">" };
  }
}
class UnfilledArray {
  content: PickledArray | undefined;
}

/** CIFAR-100, the largest of the data sets, takes about 800,000. */
const maxOpcodes = 2_000_000;
/** CIFAR has one. An empty dictionary takes a hundred times the memory of its opcode. */
const maxDictionaries = 1000;
/** Longest key of a dictionary. V8 tells long strings apart by comparing them, and there may be many. */
const maxKeyLength = 1000;
const maxDimensions = 32; // numpy's

/**
 * Reads a pickle of protocols 2 to 5, as Python 2 and 3 write them. Memory and time stay in proportion to its length.
 *
 * @param source - what error messages call it
 * @returns what is in it; an array's data is a view of `bytes`
 * @throws ERR_CORRUPT_FILE for damage, and for anything but plain data
 */
export function parsePickle(bytes: Uint8Array, source: string): Pickled {
  return new PickleMachine(bytes, source).run();
}

class PickleMachine {
  #position = 0;
  /** Bytes that were made out of text: as many as the pickle has, at most. */
  #made = 0;
  #dictionaries = 0;
  /** Byte strings are bytes here until it is known that they are not an array's content. */
  readonly #stack: unknown[] = [];
  readonly #memo = new Map<number, unknown>();
  readonly #view: DataView;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly source: string,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(): Pickled {
    this.#checkProtocol();
    for (let count = 0; count < maxOpcodes; count++) {
      const opcode = this.#unsigned(1);
      if (opcode === 0x2e) {
        if (this.#position < this.bytes.length)
          throw this.#refuse("the end of the file", `${this.bytes.length - this.#position} bytes more`);
        return finished(this.#pop());
      }
      this.#step(opcode);
    }
    throw this.#refuse(`at most ${maxOpcodes} opcodes`, "more");
  }

  #checkProtocol(): void {
    const [first, protocol = -1] = this.bytes;
    const expected = "a Python pickle of protocol 2 to 5 (pickle.dump(data, file, protocol=2) writes one)";
    if (first === 0x80 && protocol >= 2 && protocol <= 5) {
      this.#position = 2;
      return;
    }
    if (first === 0x80 && protocol > 5) throw this.#refuse(expected, `protocol ${protocol}`);
    // Protocols 0 and 1 begin with their first value: a dictionary, as "(dp0" or "}q"; a list or tuple.
    const old = /^(\([dlt]?[p\n(}\]IVSFXTUNKJM]|[}\])][q(.])/.test(Buffer.from(this.bytes.subarray(0, 8)).toString("latin1"));
    throw this.#refuse(expected, old ? "protocol 0 or 1" : describeContent(this.bytes));
  }

  #step(opcode: number): void {
    const stack = this.#stack;
    // prettier-ignore
    switch (String.fromCharCode(opcode)) {
      case "}": stack.push(this.#dictionary()); return;
      case "]": case ")": stack.push([]); return;
      case "(": stack.push(mark); return;
      case "N": stack.push(null); return;
      case "\x88": stack.push(true); return;
      case "\x89": stack.push(false); return;
      case "K": stack.push(this.#unsigned(1)); return;
      case "M": stack.push(this.#unsigned(2)); return;
      case "J": stack.push(this.#unsigned(4) | 0); return;
      case "\x8a": stack.push(this.#long(this.#unsigned(1))); return;
      case "G": stack.push(this.#float()); return;
      case "U": case "C": stack.push(this.#byteString(this.#unsigned(1))); return;
      case "T": case "B": stack.push(this.#byteString(this.#unsigned(4))); return;
      case "\x8e": case "\x96": stack.push(this.#byteString(this.#unsigned(8))); return;
      case "\x8c": stack.push(this.#unicode(this.#unsigned(1))); return;
      case "X": stack.push(this.#unicode(this.#unsigned(4))); return;
      case "\x8d": stack.push(this.#unicode(this.#unsigned(8))); return;
      case "\x95": this.#unsigned(8); return; // a frame's length, for readers that read ahead
      case "\x94": this.#memo.set(this.#memo.size, stack.at(-1)); return;
      case "q": this.#memo.set(this.#unsigned(1), stack.at(-1)); return;
      case "r": this.#memo.set(this.#unsigned(4), stack.at(-1)); return;
      case "h": stack.push(this.#remembered(this.#unsigned(1))); return;
      case "j": stack.push(this.#remembered(this.#unsigned(4))); return;
      case "a": this.#append([this.#pop()]); return;
      case "e": this.#append(this.#popToMark()); return;
      case "s": this.#setItems([this.#pop(), this.#pop()].reverse()); return;
      case "u": this.#setItems(this.#popToMark()); return;
      case "t": stack.push(this.#popToMark()); return;
      case "\x85": stack.push([this.#pop()]); return;
      case "\x86": stack.push([this.#pop(), this.#pop()].reverse()); return;
      case "\x87": stack.push([this.#pop(), this.#pop(), this.#pop()].reverse()); return;
      case "c": stack.push(this.#import(this.#line(), this.#line())); return;
      case "\x93": stack.push(this.#import(...([this.#pop(), this.#pop()].reverse() as [unknown, unknown]))); return;
      case "R": this.#reduce(); return;
      case "b": this.#build(); return;
    }
    throw this.#refuse("a pickle of plain data", `opcode ${opcode}`);
  }

  #import(module: unknown, member: unknown): Import {
    const name = [module, member].map((part) => (typeof part === "string" ? part.slice(0, maxKeyLength) : describe(part))).join(" ");
    const step = imports.get(name);
    if (step === undefined) throw this.#refuse("a pickle of plain data", `one that imports ${describe(name)}`);
    return new Import(step);
  }

  /** "Calls" what was imported: makes an array without content, the type of its numbers, or bytes from the text that they were written as. */
  #reduce(): void {
    const [given, callee] = [this.#pop(), this.#pop()];
    const values = (Array.isArray(given) ? given : []) as unknown[];
    const step = callee instanceof Import ? callee.step : undefined;
    if (step === "reconstruct") this.#stack.push(new UnfilledArray());
    else if (step === "dtype") this.#stack.push(new Dtype(text(values[0]) ?? "none"));
    else if (step === "scalar") this.#stack.push(this.#scalar(values[0], values[1]));
    else if (step === "encode") this.#stack.push(this.#encoded(text(values[0]) ?? ""));
    else if (step === "frombuffer") this.#stack.push(this.#array(values[2], values[1], text(values[3]) === "F", values[0]));
    else throw this.#refuse("a pickle of plain data", "a call of something else");
  }

  /** Fills an array; of the state of a type the byte order counts. */
  #build(): void {
    const [state, target] = [this.#pop(), this.#stack.at(-1)];
    if (target instanceof Dtype) {
      target.order = (Array.isArray(state) ? text(state[1]) : undefined) ?? "none";
      if (!["<", ">", "|", "="].includes(target.order)) throw this.#refuse('a byte order of "<", ">" or "|"', describe(target.order));
      return;
    }
    if (!(target instanceof UnfilledArray) || !Array.isArray(state))
      throw this.#refuse("the state of a numpy array", "that of something else");
    const [, shape, dtype, fortran, data] = state as unknown[];
    target.content = this.#array(shape, dtype, fortran === true || fortran === 1, data);
  }

  #array(shape: unknown, dtype: unknown, fortran: boolean, data: unknown): PickledArray {
    const sizes = Array.isArray(shape) && shape.length <= maxDimensions ? (shape as unknown[]) : [-1];
    if (!sizes.every((size): size is number => Number.isInteger(size) && (size as number) >= 0)) {
      throw this.#refuse(`a shape of at most ${maxDimensions} sizes`, "something else");
    }
    const code = dtype instanceof Dtype ? dtype.code : "none";
    const found = `${describe(code)} [${sizes.join(", ")}]`;
    const type = dtype instanceof Dtype ? dtype.integer : undefined;
    if (type === undefined) throw this.#refuse("an array of integers", found);
    // Of one dimension that is longer than 1 both orders are the same.
    if (fortran && sizes.filter((size) => size !== 1).length > 1) {
      throw this.#refuse("an array in C order, row by row (numpy.ascontiguousarray gives one)", `${found} in Fortran order`);
    }
    const length = data instanceof ByteString ? data.length : -1;
    if (!(data instanceof ByteString) || length !== sizes.reduce((product, size) => product * size, bytesPerElement(type.dtype))) {
      throw this.#refuse(`as many bytes as an array ${found} has`, length < 0 ? "none" : `${length}`);
    }
    return new PickledArray([...sizes], data.bytes, type);
  }

  #scalar(dtype: unknown, data: unknown): number {
    const type = dtype instanceof Dtype ? dtype.integer : undefined;
    if (type === undefined) throw this.#refuse("a numpy integer", describe(dtype instanceof Dtype ? dtype.code : "none"));
    if (!(data instanceof ByteString) || data.length !== bytesPerElement(type.dtype))
      throw this.#refuse(`the bytes of one ${type.dtype}`, "others");
    return integersOf(new PickledArray([], data.bytes, type))[0] as number;
  }

  /** Python 3 writes bytes as text in protocol 2. Each is so written once; a pickle that wants more made than it has itself is a bomb. */
  #encoded(from: string): ByteString {
    this.#made += from.length;
    if (this.#made > this.bytes.length) throw this.#refuse(`at most ${this.bytes.length} bytes made of text`, `${this.#made}`);
    return new ByteString(Uint8Array.from(Buffer.from(from, "latin1")), 0, from.length);
  }

  #append(values: unknown[]): void {
    const list = this.#stack.at(-1);
    if (!Array.isArray(list)) throw this.#refuse("a list to append to", "something else");
    for (const value of values) list.push(finished(value));
  }

  #setItems(items: unknown[]): void {
    const map = this.#stack.at(-1);
    if (!(map instanceof Map) || items.length % 2 !== 0) throw this.#refuse("pairs for a dictionary", "something else");
    for (let i = 0; i < items.length; i += 2) {
      const key = text(items[i]) ?? describe(items[i]);
      if (key.length > maxKeyLength) throw this.#refuse(`a key of at most ${maxKeyLength} characters`, `${key.length}`);
      if (map.has(key)) throw this.#refuse("each key once", `${describe(key)} twice`); // as text and as bytes, say
      map.set(key, finished(items[i + 1]));
    }
  }

  #pop(): unknown {
    if (this.#stack.length === 0) throw this.#refuse("a value on the stack", "none");
    return this.#stack.pop();
  }

  #popToMark(): unknown[] {
    const at = this.#stack.lastIndexOf(mark);
    if (at < 0) throw this.#refuse("a mark on the stack", "none");
    const values = this.#stack.splice(at);
    values.shift();
    return values;
  }

  #remembered(index: number): unknown {
    if (!this.#memo.has(index)) throw this.#refuse("a value that was memorised", `number ${index}`);
    return this.#memo.get(index);
  }

  #dictionary(): Map<string, Pickled> {
    if (++this.#dictionaries > maxDictionaries) throw this.#refuse(`at most ${maxDictionaries} dictionaries`, "more");
    return new Map();
  }

  #byteString(length: number): ByteString {
    const start = this.#position;
    this.#take(length);
    return new ByteString(this.bytes, start, length);
  }

  #unicode(length: number): string {
    return Buffer.from(this.#take(length)).toString("utf8");
  }

  #line(): string {
    const end = this.bytes.indexOf(0x0a, this.#position);
    if (end < 0 || end - this.#position > 100) throw this.#refuse("a name to import", "no line");
    const name = Buffer.from(this.#take(end - this.#position)).toString("latin1");
    this.#position++;
    return name;
  }

  /** A little-endian number of 1, 2, 4 or 8 bytes. */
  #unsigned(width: number): number {
    const at = this.#position;
    this.#take(width);
    if (width === 1) return this.bytes[at] as number;
    if (width === 8) return Number(this.#view.getBigUint64(at, true));
    return width === 2 ? this.#view.getUint16(at, true) : this.#view.getUint32(at, true);
  }

  /** Two's complement, little-endian. */
  #long(width: number): number {
    const bytes = Buffer.from(this.#take(width)).reverse().toString("hex");
    const value = Number(BigInt.asIntN(8 * width, BigInt(`0x0${bytes}`)));
    if (!Number.isSafeInteger(value)) throw this.#refuse("an integer below 2^53", "a larger one");
    return value;
  }

  #float(): number {
    const at = this.#position;
    this.#take(8);
    return this.#view.getFloat64(at, false);
  }

  #take(length: number): Uint8Array {
    const start = this.#position;
    if (length > this.bytes.length - start) throw this.#refuse(`${length} bytes`, `${this.bytes.length - start}, the end of the file`);
    this.#position = start + length;
    return this.bytes.subarray(start, this.#position);
  }

  #refuse(expected: string, found: string): Error {
    return corruptFile(this.source, expected, `${found} at byte ${this.#position}`);
  }
}

/** What is handed out: byte strings as text, arrays with their content; steps that led nowhere are null. */
function finished(value: unknown): Pickled {
  if (value instanceof PickledArray) return value;
  if (value instanceof UnfilledArray) return value.content ?? null;
  if (typeof value === "symbol" || value instanceof Import || value instanceof Dtype) return null;
  return text(value) ?? (value as Pickled);
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : value instanceof ByteString ? value.text : undefined;
}
