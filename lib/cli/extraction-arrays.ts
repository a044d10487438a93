// The arrays that `extract` writes, row by row, before they have their names: .npy files, or the tensors of .safetensors files.

import { unlink } from "node:fs/promises";
import { bytesOfArray, dtypes, type ArrayDtype } from "../core/dtype";
import { io } from "../core/file-errors";
import { extractionFiles, listsMetadata, type RecordedFile } from "../formats/extraction-record";
import { halfPieces } from "../formats/half";
import { formatNpyHeader } from "../formats/npy-header";
import { formatHeader, plannedBytes, type PlannedTensor } from "../formats/safetensors-writer";
import type { Tensor } from "../native/tensor";
import type { Appended } from "./extraction-journal";
import { StagedFile } from "./extraction-staging";

/** Rows, in order, and what is said of them in the lists. */
export interface ExtractedRows {
  features: Tensor;
  /** Where the model gives them. */
  logits: Tensor | undefined;
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

/** The dtypes that features and logits are written in. */
export const writtenDtypes = ["float32", "float16", "bfloat16"] as const;
export type WrittenDtype = (typeof writtenDtypes)[number];

export interface ExtractionForm {
  featureName: "features" | "rawFeatures";
  featureDim: number;
  /** Of the logits; undefined for a model without. */
  numClasses: number | undefined;
  /** Rows at most. */
  count: number;
  labels: boolean;
  /** Whether paths are listed. */
  images: boolean;
  /** Names of the labels, where they are to be listed. */
  classNames: readonly string[] | undefined;
  /** Of features and logits. Default float32. */
  dtype?: WrittenDtype;
  /** Bytes of a .safetensors file at most; undefined for all in one. */
  shardSize?: number | undefined;
}

/** An array under way. */
export interface Column {
  readonly name: string;
  readonly dtype: WrittenDtype | "int64";
  readonly rowShape: readonly number[];
  readonly bytes: (rows: ExtractedRows) => Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

/** The arrays of a form. @throws what the writing throws, ERR_RANGE for a number that is infinite in its dtype */
export function columnsOf({ featureName, featureDim, numClasses, labels, dtype = "float32" }: ExtractionForm): Column[] {
  const floats = (name: string, of: (rows: ExtractedRows) => Tensor | undefined) => (rows: ExtractedRows) => {
    const values = (of(rows) as Tensor).toArray() as Float32Array;
    return dtype === "float32" ? [bytesOfArray(values)] : halfPieces(dtype, values, name);
  };
  const columns: Column[] = [{ name: featureName, dtype, rowShape: [featureDim], bytes: floats(featureName, ({ features }) => features) }];
  if (numClasses !== undefined)
    columns.push({ name: "logits", dtype, rowShape: [numClasses], bytes: floats("logits", ({ logits }) => logits) });
  if (labels)
    columns.push({
      name: "labels",
      dtype: "int64",
      rowShape: [],
      bytes: (rows) => [bytesOfArray(BigInt64Array.from(rows.labels, BigInt))],
    });
  return columns;
}

/** The files of some arrays, which grow row by row: those of one run, or of one shard. */
export class Columns {
  #rows = 0;

  private constructor(
    readonly columns: readonly Column[],
    private readonly files: ReadonlyMap<string, StagedFile>,
  ) {}

  /** @param form - with a header before the first array's bytes, or an .npy header before those of each */
  static async open(path: (name: string) => string, form: ExtractionForm, shard: number, as: "npy" | "tensors"): Promise<Columns> {
    const columns = columnsOf(form);
    const files = new Map<string, StagedFile>();
    for (const column of columns) {
      const { name, dtype, rowShape } = column;
      const base =
        as === "tensors" ? (files.size === 0 ? tensorsBase(form) : 0) : formatNpyHeader(dtype as "float32", [0, ...rowShape]).length;
      files.set(name, await StagedFile.open(path(stagedName(shard, name)), base));
    }
    return new Columns(columns, files);
  }

  get rows(): number {
    return this.#rows;
  }

  /** Of all that was appended, headers apart. */
  get bytes(): number {
    return [...this.files.values()].reduce((sum, { length }) => sum + length, 0);
  }

  async append(rows: ExtractedRows): Promise<Record<string, Appended>> {
    const appended: Record<string, Appended> = {};
    for (const { name, bytes } of this.columns) appended[name] = await (this.files.get(name) as StagedFile).append(bytes(rows));
    this.#rows += rows.features.shape[0] as number;
    return appended;
  }

  async holds(files: Readonly<Record<string, Appended>>): Promise<boolean> {
    for (const [name, file] of this.files) {
      const appended = files[name];
      if (appended === undefined || !(await file.holds(appended))) return false;
    }
    return true;
  }

  async take(files: Readonly<Record<string, Appended>>, rows: number): Promise<void> {
    for (const [name, file] of this.files) await file.take(files[name] as Appended);
    this.#rows += rows;
  }

  /** Drops what lies behind what was taken. */
  async cut(): Promise<void> {
    for (const file of this.files.values()) await file.cut();
  }

  recorded(): Record<string, RecordedFile> {
    return Object.fromEntries(this.columns.map(({ name }) => [name, (this.files.get(name) as StagedFile).recorded()]));
  }

  /** Makes a .npy file of each. */
  async finishNpy(): Promise<void> {
    for (const { name, dtype, rowShape } of this.columns) {
      const file = this.files.get(name) as StagedFile;
      await file.write(formatNpyHeader(dtype as "float32", [this.#rows, ...rowShape]), 0);
      await file.flush();
    }
  }

  /** Makes one .safetensors file of all, in place of the first. The others stay, so that this can be done again. */
  async finishTensors(form: ExtractionForm, lists: Readonly<Record<string, RecordedFile>>): Promise<void> {
    const [first, ...others] = this.columns.map(({ name }) => this.files.get(name) as StagedFile) as [StagedFile, ...StagedFile[]];
    let position = first.base + first.length;
    for (const other of others) {
      for await (const piece of other.read(0, other.length)) {
        await first.write(piece, position);
        position += piece.length;
      }
    }
    await first.write(formatHeader({ tensors: tensorsOf(form, this.#rows), metadata: listsMetadata(lists) }, first.base), 0);
    await first.flush();
  }

  /** After {@link finishTensors} has been recorded: the other files are in the first. */
  async removeOthers(): Promise<void> {
    await this.close();
    for (const { name } of this.columns.slice(1)) {
      const { path } = this.files.get(name) as StagedFile;
      await io("remove", path, unlink(path));
    }
  }

  async close(): Promise<void> {
    for (const file of this.files.values()) await file.close();
  }
}

export function stagedName(shard: number, name: string): string {
  return `${shard}.${name}`;
}

/** Room for the header with the most rows and the longest lists. */
function tensorsBase(form: ExtractionForm): number {
  const longest = { bytes: Number.MAX_SAFE_INTEGER, sha256: "0".repeat(64) };
  const lists = form.shardSize === undefined ? Object.fromEntries(extractionFiles.map((name) => [name, longest])) : {};
  return formatHeader({ tensors: tensorsOf(form, form.count), metadata: listsMetadata(lists) }).length;
}

/** Bytes of a shard with so many rows. */
export function shardBytes(form: ExtractionForm, rows: number): number {
  return tensorsBase(form) + tensorsOf(form, rows).reduce((sum, tensor) => sum + plannedBytes(tensor), 0);
}

export function tensorsOf(form: ExtractionForm, rows: number): PlannedTensor[] {
  return columnsOf(form).map(({ name, dtype, rowShape }) => ({
    name,
    dtype: dtypes[dtype satisfies ArrayDtype].safetensors,
    shape: [rows, ...rowShape],
  }));
}
