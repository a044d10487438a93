// The arrays that `extract` writes, row by row, before they have their names: .npy files, or the tensors of one .safetensors file.

import { createHash, randomBytes, type Hash } from "node:crypto";
import { open, stat, unlink, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { isLibtorchOodError, LibtorchOodError } from "../core/errors";
import { openAtomicFile, type AtomicFile } from "../formats/atomic-write";
import { io, ioError } from "../core/file-errors";
import { NpyWriter } from "../formats/npy";
import { openSafetensors, type SafetensorsDtype } from "../formats/safetensors";
import { formatHeader, tensorByteLength } from "../formats/safetensors-header";
import type { Tensor } from "../native/tensor";
import { extractionFiles, isRecordedFile, type RecordedFile } from "./extraction-record";

/** Rows, in order, and what is said of them in the lists. */
export interface ExtractedRows {
  features: Tensor;
  logits: Tensor;
  /** Empty without labels. */
  labels: Int32Array;
  /** One line per row; none where no paths are listed. */
  names: readonly string[];
  skipped: readonly { index: number; path: string; code: string; reason: string }[];
}

export interface WrittenArray {
  readonly name: string;
  readonly file: string;
  readonly dtype: string;
  readonly shape: readonly number[];
}

export interface ExtractionForm {
  featureName: "features" | "rawFeatures";
  featureDim: number;
  numClasses: number;
  /** Rows at most. */
  count: number;
  labels: boolean;
  /** Whether paths are listed. */
  images: boolean;
  /** Names of the labels, where they are to be listed. */
  classNames: readonly string[] | undefined;
}

/** One file or list of a run, under way. */
export interface Part {
  readonly name: string;
  commit(): Promise<void>;
  discard(): Promise<void>;
}

export interface Arrays extends Part {
  write(rows: ExtractedRows): Promise<void>;
  /** After the last row. @param lists - what is written beside the arrays */
  finish(lists: Readonly<Record<string, RecordedFile>>): Promise<void>;
  written(): WrittenArray[];
  recorded(): Record<string, RecordedFile>;
  readonly rows: number;
}

/** The arrays of a folder. @throws ERR_IO */
export async function openNpyArrays(folder: string, { featureName, featureDim, numClasses, labels }: ExtractionForm): Promise<Arrays> {
  const columns: NpyColumn[] = [];
  const open = async (name: string, dtype: "float32" | "int64", rowShape: number[], of: NpyColumn["of"]) => {
    const writer = await NpyWriter.open(join(folder, `${name}.npy`), dtype, rowShape);
    columns.push({ name, writer, of, hash: createHash("sha256"), bytes: 0 });
  };
  const discard = async () => void (await Promise.all(columns.map(({ writer }) => writer.discard())));
  try {
    await open(featureName, "float32", [featureDim], ({ features }) => features.toArray() as Float32Array);
    await open("logits", "float32", [numClasses], ({ logits }) => logits.toArray() as Float32Array);
    if (labels) await open("labels", "int64", [], (rows) => BigInt64Array.from(rows.labels, BigInt));
  } catch (error) {
    await discard();
    throw error;
  }
  return new NpyArrays(folder, columns);
}

interface NpyColumn {
  readonly name: string;
  readonly writer: NpyWriter<"float32" | "int64">;
  readonly of: (rows: ExtractedRows) => Float32Array | BigInt64Array;
  readonly hash: Hash;
  bytes: number;
}

class NpyArrays implements Arrays {
  constructor(
    readonly name: string,
    private readonly columns: readonly NpyColumn[],
  ) {}

  get rows(): number {
    return this.columns[0]?.writer.rows ?? 0;
  }

  async write(rows: ExtractedRows): Promise<void> {
    for (const column of this.columns) {
      const values = column.of(rows);
      await column.writer.write(values);
      column.hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      column.bytes += values.byteLength;
    }
  }

  async finish(): Promise<void> {
    // The number of rows is written by commit.
  }

  recorded(): Record<string, RecordedFile> {
    return Object.fromEntries(this.columns.map(({ name, hash, bytes }) => [`${name}.npy`, { bytes, sha256: hash.copy().digest("hex") }]));
  }

  async commit(): Promise<void> {
    for (const { writer } of this.columns) await writer.commit();
  }

  async discard(): Promise<void> {
    for (const { writer } of this.columns) await writer.discard();
  }

  written(): WrittenArray[] {
    return this.columns.map(({ name, writer: { path: file, dtype, rows, rowShape } }) => ({
      name,
      file,
      dtype,
      shape: [rows, ...rowShape],
    }));
  }
}

/**
 * The tensors of one file. How many rows there are is known at the end only, where images are left out: the first tensor is written in its place, the
 * others wait in files without a name, and the header leaves room for the largest numbers.
 */
export class TensorArrays implements Arrays {
  #rows = 0;

  private constructor(
    readonly name: string,
    private readonly form: ExtractionForm,
    private readonly headerLength: number,
    private readonly file: AtomicFile,
    private readonly waiting: readonly Waiting[],
  ) {}

  static async open(path: string, form: ExtractionForm): Promise<TensorArrays> {
    const isFolder = await stat(path).then(
      (status) => status.isDirectory(),
      () => false,
    );
    if (isFolder) throw ioError("write", path, "expected a file, found a folder");
    const longest = { bytes: Number.MAX_SAFE_INTEGER, sha256: "0".repeat(64) };
    const lists = Object.fromEntries(extractionFiles.map((name) => [name, longest]));
    const headerLength = formatHeader(tensorsOf(path, form, form.count), listsMetadata(lists)).length;
    const file = await openAtomicFile(path);
    const waiting: Waiting[] = [];
    try {
      for (let i = form.labels ? 2 : 1; i > 0; i--) waiting.push(await Waiting.open(path));
    } catch (error) {
      for (const part of waiting) await part.close();
      await file.discard();
      throw error;
    }
    return new TensorArrays(path, form, headerLength, file, waiting);
  }

  get rows(): number {
    return this.#rows;
  }

  async write({ features, logits, labels }: ExtractedRows): Promise<void> {
    const { featureDim } = this.form;
    await this.file.write(bytesOf(features.toArray() as Float32Array), this.headerLength + this.#rows * featureDim * 4);
    await this.waiting[0]?.append(bytesOf(logits.toArray() as Float32Array));
    await this.waiting[1]?.append(bytesOf(BigInt64Array.from(labels, BigInt)));
    this.#rows += features.shape[0] as number;
  }

  async finish(lists: Readonly<Record<string, RecordedFile>>): Promise<void> {
    const tensors = tensorsOf(this.name, this.form, this.#rows);
    const header = formatHeader(tensors, listsMetadata(lists));
    const padded = new Uint8Array(this.headerLength).fill(0x20);
    padded.set(header);
    new DataView(padded.buffer).setBigUint64(0, BigInt(padded.length - 8), true);
    await this.file.write(padded, 0);
    let position = this.headerLength + (tensors[0]?.byteLength ?? 0);
    for (const part of this.waiting) {
      await part.readAll(async (bytes) => {
        await this.file.write(bytes, position);
        position += bytes.length;
      });
    }
  }

  recorded(): Record<string, RecordedFile> {
    return {};
  }

  async commit(): Promise<void> {
    await this.file.commit();
    for (const part of this.waiting) await part.close();
  }

  async discard(): Promise<void> {
    await this.file.discard();
    for (const part of this.waiting) await part.close();
  }

  written(): WrittenArray[] {
    return tensorsOf(this.name, this.form, this.#rows).map(({ name, dtype, shape }) => {
      return { name, file: this.name, dtype: dtype === "F32" ? "float32" : "int64", shape };
    });
  }
}

function tensorsOf(path: string, { featureName, featureDim, numClasses, labels }: ExtractionForm, rows: number) {
  const tensor = (name: string, dtype: SafetensorsDtype, shape: number[]) => {
    const byteLength = tensorByteLength(dtype, shape);
    if (byteLength === undefined) throw new LibtorchOodError("ERR_RANGE", `${path}: ${name} [${shape.join(", ")}] is larger than any file`);
    return { name, dtype, shape, byteLength };
  };
  return [
    tensor(featureName, "F32", [rows, featureDim]),
    tensor("logits", "F32", [rows, numClasses]),
    ...(labels ? [tensor("labels", "I64", [rows])] : []),
  ];
}

const listsKey = "lists";

/** A run's own lists may be removed by a later run, and no others of their names: so the file says which they are. */
function listsMetadata(lists: Readonly<Record<string, RecordedFile>>): ReadonlyMap<string, string> {
  return new Map(Object.keys(lists).length === 0 ? [] : [[listsKey, JSON.stringify(lists)]]);
}

/** The lists that the run wrote which wrote the file; undefined where there is no such file, or it does not say. */
export async function recordedLists(path: string): Promise<Record<string, RecordedFile> | undefined> {
  try {
    const file = await openSafetensors(path);
    try {
      const lists = JSON.parse(file.metadata.get(listsKey) ?? "{}") as Record<string, RecordedFile> | null;
      return lists !== null && Object.values(lists).every(isRecordedFile) ? lists : undefined;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isLibtorchOodError(error) || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Bytes that wait for their place, in a file beside the one that they go to. */
class Waiting {
  #length = 0;
  #closed = false;

  private constructor(
    private readonly path: string,
    private readonly temporary: string,
    private readonly handle: FileHandle,
  ) {}

  static async open(path: string): Promise<Waiting> {
    const temporary = join(dirname(path), `.${basename(path).slice(0, 40)}.${process.pid}-${randomBytes(6).toString("hex")}.tmp`);
    const handle = await io("write", path, open(temporary, "wx+"));
    // Without a name it is gone with this process, however that ends. Where an open file must keep its name, close removes it.
    await unlink(temporary).catch(() => undefined);
    return new Waiting(path, temporary, handle);
  }

  async append(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await io("write", this.path, this.handle.write(bytes, done, bytes.length - done, this.#length));
      if (bytesWritten === 0) throw ioError("write", this.path, "the file system took no bytes");
      done += bytesWritten;
      this.#length += bytesWritten;
    }
  }

  async readAll(use: (bytes: Uint8Array) => Promise<void>): Promise<void> {
    const buffer = new Uint8Array(1 << 20);
    for (let position = 0; position < this.#length;) {
      const { bytesRead } = await io("read", this.temporary, this.handle.read(buffer, 0, buffer.length, position));
      if (bytesRead === 0) throw ioError("read", this.temporary, "it has become shorter");
      await use(buffer.subarray(0, bytesRead));
      position += bytesRead;
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.handle.close().catch(() => undefined);
    await unlink(this.temporary).catch(() => undefined);
  }
}

function bytesOf(values: Float32Array | BigInt64Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
