// Python pickles of plain data, as the Python versions of CIFAR are: dictionaries, lists, numbers, strings, numpy arrays of bytes. Nothing in a pickle is
// called or imported: one that asks for anything else is refused. Source: CPython, Lib/pickletools.py (protocol 2).

import { describe } from "../checks";
import { corruptFile } from "./file-errors";

/** A numpy array of unsigned bytes, row by row. */
export class PickledArray {
  constructor(
    readonly shape: readonly number[],
    /** A view of the pickle. */
    readonly data: Uint8Array,
  ) {}
}

/** Lists and tuples are arrays. Byte strings are text, a character a byte, as with `encoding="latin1"` in Python. */
export type Pickled = null | boolean | number | string | PickledArray | readonly Pickled[] | ReadonlyMap<string, Pickled>;

const mark = Symbol("mark");
/** The only names that a pickle may import: each stands for a step in making an array. */
const imports = new Map([
  ["numpy.core.multiarray _reconstruct", "reconstruct"],
  ["numpy._core.multiarray _reconstruct", "reconstruct"],
  ["numpy ndarray", "ndarray"],
  ["numpy dtype", "dtype"],
  ["_codecs encode", "encode"],
]);
class Import {
  constructor(readonly step: string | undefined) {}
}
class Dtype {
  constructor(readonly code: string) {}
}
class UnfilledArray {
  content: PickledArray | undefined;
}

/** CIFAR-100, the largest, takes about 800,000. */
const maxOpcodes = 5_000_000;

/**
 * Reads a pickle of protocol 2, as Python 2 and 3 write it.
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
    if (this.#unsigned(1) !== 0x80 || this.#unsigned(1) !== 2) throw this.#refuse("a Python pickle of protocol 2", "other first bytes");
    for (let count = 0; count < maxOpcodes; count++) {
      const opcode = this.#unsigned(1);
      if (opcode === 0x2e) return finished(this.#pop());
      this.#step(opcode);
    }
    throw this.#refuse(`at most ${maxOpcodes} opcodes`, "more");
  }

  #step(opcode: number): void {
    const stack = this.#stack;
    // prettier-ignore
    switch (String.fromCharCode(opcode)) {
      case "}": stack.push(new Map()); return;
      case "]": case ")": stack.push([]); return;
      case "(": stack.push(mark); return;
      case "N": stack.push(null); return;
      case "\x88": stack.push(true); return;
      case "\x89": stack.push(false); return;
      case "K": stack.push(this.#unsigned(1)); return;
      case "M": stack.push(this.#unsigned(2)); return;
      case "J": stack.push(this.#unsigned(4) | 0); return;
      case "U": stack.push(this.#take(this.#unsigned(1))); return;
      case "T": stack.push(this.#take(this.#unsigned(4))); return;
      case "X": stack.push(Buffer.from(this.#take(this.#unsigned(4))).toString("utf8")); return;
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
      case "c": stack.push(this.#import()); return;
      case "R": this.#reduce(); return;
      case "b": this.#build(); return;
    }
    throw this.#refuse("a pickle of plain data", `opcode ${opcode}`);
  }

  #import(): Import {
    const name = `${this.#line()} ${this.#line()}`;
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
    else if (step === "encode") this.#stack.push(Uint8Array.from(Buffer.from(text(values[0]) ?? "", "latin1")));
    else throw this.#refuse("a pickle of plain data", "a call of something else");
  }

  /** Fills an array; the state of a type says no more than byte order and alignment, which bytes do not have. */
  #build(): void {
    const [state, target] = [this.#pop(), this.#stack.at(-1)];
    if (target instanceof Dtype) return;
    if (!(target instanceof UnfilledArray) || !Array.isArray(state))
      throw this.#refuse("the state of a numpy array", "that of something else");
    const [, shape, dtype, fortran, data] = state as unknown[];
    const sizes =
      Array.isArray(shape) && shape.every((size) => Number.isInteger(size) && (size as number) >= 0) ? (shape as number[]) : [-1];
    const code = dtype instanceof Dtype ? dtype.code : "none";
    const length = ArrayBuffer.isView(data) ? data.byteLength : -1;
    if (code !== "u1" || fortran === true || fortran === 1 || length !== sizes.reduce((product, size) => product * size, 1)) {
      throw this.#refuse(
        "an array of unsigned bytes, row by row, as long as its shape",
        `${code} [${sizes.join(", ")}] of ${length} bytes`,
      );
    }
    target.content = new PickledArray([...sizes], data as Uint8Array);
  }

  #append(values: unknown[]): void {
    const list = this.#stack.at(-1);
    if (!Array.isArray(list)) throw this.#refuse("a list to append to", "something else");
    for (const value of values) list.push(finished(value));
  }

  #setItems(items: unknown[]): void {
    const map = this.#stack.at(-1);
    if (!(map instanceof Map) || items.length % 2 !== 0) throw this.#refuse("pairs for a dictionary", "something else");
    for (let i = 0; i < items.length; i += 2) map.set(text(items[i]) ?? describe(items[i]), finished(items[i + 1]));
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

  #line(): string {
    const end = this.bytes.indexOf(0x0a, this.#position);
    if (end < 0 || end - this.#position > 100) throw this.#refuse("a name to import", "no line");
    const name = Buffer.from(this.#take(end - this.#position)).toString("latin1");
    this.#position++;
    return name;
  }

  /** A little-endian number of 1, 2 or 4 bytes. */
  #unsigned(width: number): number {
    const at = this.#position;
    this.#take(width);
    return width === 1 ? (this.bytes[at] as number) : width === 2 ? this.#view.getUint16(at, true) : this.#view.getUint32(at, true);
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
  if (value instanceof UnfilledArray) return value.content ?? null;
  if (typeof value === "symbol" || value instanceof Import || value instanceof Dtype) return null;
  return text(value) ?? (value as Pickled);
}

function text(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return ArrayBuffer.isView(value) ? Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("latin1") : undefined;
}
