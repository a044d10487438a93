// The arrays that `extract` writes, row by row, before they have their names: .npy files, or the tensors of one .safetensors file.

import { createHash, type Hash } from "node:crypto";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { bytesOfArray } from "../core/dtype";
import { ioError } from "../core/file-errors";
import { NpyWriter } from "../formats/npy";
import { dtypeIn } from "../formats/safetensors-data";
import { SafetensorsWriter, type PlannedTensor } from "../formats/safetensors-writer";
import type { Tensor } from "../native/tensor";
import { extractionFiles, listsMetadata, type RecordedFile } from "../formats/extraction-record";

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
    if (numClasses !== undefined)
      await open("logits", "float32", [numClasses], ({ logits }) => (logits as Tensor).toArray() as Float32Array);
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
      column.hash.update(bytesOfArray(values));
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
 * The tensors of one file. How many rows there are is known at the end only, where images are left out.
 */
export class TensorArrays implements Arrays {
  #rows = 0;

  private constructor(
    readonly name: string,
    private readonly form: ExtractionForm,
    private readonly writer: SafetensorsWriter,
  ) {}

  static async open(path: string, form: ExtractionForm): Promise<TensorArrays> {
    const isFolder = await stat(path).then(
      (status) => status.isDirectory(),
      () => false,
    );
    if (isFolder) throw ioError("write", path, "expected a file, found a folder");
    const longest = { bytes: Number.MAX_SAFE_INTEGER, sha256: "0".repeat(64) };
    const lists = Object.fromEntries(extractionFiles.map((name) => [name, longest]));
    const most = { tensors: tensorsOf(form, form.count), metadata: listsMetadata(lists) };
    return new TensorArrays(path, form, await SafetensorsWriter.open(path, most, { growing: true }));
  }

  get rows(): number {
    return this.#rows;
  }

  async write({ features, logits, labels }: ExtractedRows): Promise<void> {
    await this.writer.append(this.form.featureName, bytesOfArray(features.toArray()));
    if (logits !== undefined) await this.writer.append("logits", bytesOfArray(logits.toArray()));
    if (this.form.labels) await this.writer.append("labels", bytesOfArray(BigInt64Array.from(labels, BigInt)));
    this.#rows += features.shape[0] as number;
  }

  async finish(lists: Readonly<Record<string, RecordedFile>>): Promise<void> {
    await this.writer.finish({ tensors: tensorsOf(this.form, this.#rows), metadata: listsMetadata(lists) });
  }

  recorded(): Record<string, RecordedFile> {
    return {};
  }

  commit(): Promise<void> {
    return this.writer.commit();
  }

  discard(): Promise<void> {
    return this.writer.discard();
  }

  written(): WrittenArray[] {
    return tensorsOf(this.form, this.#rows).map(({ name, dtype, shape }) => ({ name, file: this.name, dtype: dtypeIn(dtype), shape }));
  }
}

function tensorsOf({ featureName, featureDim, numClasses, labels }: ExtractionForm, rows: number): PlannedTensor[] {
  return [
    { name: featureName, dtype: "F32", shape: [rows, featureDim] },
    ...(numClasses === undefined ? [] : [{ name: "logits", dtype: "F32" as const, shape: [rows, numClasses] }]),
    ...(labels ? [{ name: "labels", dtype: "I64", shape: [rows] } as const] : []),
  ];
}
