// Features in files: what `extract` writes row by row, and what `fit`, `score` and `evaluate` read of it or of another program's.

import { mkdir, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { LibtorchOodError } from "../errors";
import { openAtomicFile, type AtomicFile } from "../files/atomic-write";
import { io, systemCode } from "../files/file-errors";
import { NpyWriter, readNpy } from "../files/npy";
import { openSafetensors, toValues } from "../files/safetensors";
import type { SafetensorsDtype } from "../files/safetensors";
import { formatHeader, tensorByteLength } from "../files/safetensors-header";
import type { TrainingEvidence } from "../scores";
import { Tensor } from "../tensor";

/** The arrays that a file may hold, by name. */
const matrixNames = ["features", "rawFeatures", "logits", "weight"] as const;
const listNames = ["labels", "bias"] as const;

/**
 * A folder with `features.npy`, `logits.npy`, `labels.npy` and so on, a .safetensors file with tensors of these names, or a .npy file of features.
 *
 * @throws ERR_CORRUPT_FILE, ERR_IO; ERR_SHAPE, ERR_DTYPE for arrays that are no matrix or list of numbers
 */
export async function readExtracted(path: string): Promise<TrainingEvidence> {
  if (extname(path) === ".npy") return { features: await npyTensor(path, 2) };
  if ((await io("read", path, stat(path))).isDirectory()) return readFolder(path);
  return readTensors(path);
}

/** A list of labels by itself. @throws as {@link readExtracted} */
export function readLabels(path: string): Promise<Tensor> {
  return npyTensor(path, 1, ["int32", "int64"]);
}

async function readFolder(path: string): Promise<TrainingEvidence> {
  const evidence: Record<string, Tensor> = {};
  for (const name of [...matrixNames, ...listNames]) {
    const file = join(path, `${name}.npy`);
    const there = await stat(file).then(
      () => true,
      (error: unknown) => systemCode(error) !== "ENOENT",
    );
    if (!there) continue;
    evidence[name] = await npyTensor(
      file,
      name === "labels" || name === "bias" ? 1 : 2,
      name === "labels" ? ["int32", "int64"] : undefined,
    );
  }
  return evidence;
}

async function npyTensor(path: string, dimensions: number, dtypes = ["float32", "float64"]): Promise<Tensor> {
  const { dtype, shape, data } = await readNpy(path);
  requireForm(path, { dtype, shape }, dimensions, dtypes);
  return Tensor.from(data, shape);
}

async function readTensors(path: string): Promise<TrainingEvidence> {
  const file = await openSafetensors(path);
  try {
    const evidence: Record<string, Tensor> = {};
    for (const name of [...matrixNames, ...listNames]) {
      const entry = file.tensors.get(name);
      if (entry === undefined) continue;
      const { dtype, shape } = entry;
      const label = name === "labels";
      requireForm(`${path}: ${name}`, entry, label || name === "bias" ? 1 : 2, label ? ["I64", "I32"] : ["F32", "F64", "F16", "BF16"]);
      const bytes = await file.read(name);
      const values =
        dtype === "I64" ? new BigInt64Array(bytes.buffer) : (toValues(dtype, bytes) as Float32Array | Float64Array | Int32Array);
      evidence[name] = Tensor.from(values, shape);
    }
    return evidence;
  } finally {
    await file.close();
  }
}

function requireForm(
  where: string,
  { dtype, shape }: { dtype: string; shape: readonly number[] },
  dimensions: number,
  dtypes: readonly string[],
): void {
  if (!dtypes.includes(dtype)) throw new LibtorchOodError("ERR_DTYPE", `${where}: expected ${dtypes.join(" or ")}, found ${dtype}`);
  if (shape.length !== dimensions) {
    const expected = dimensions === 2 ? "a matrix [N, columns]" : "a list [N]";
    throw new LibtorchOodError("ERR_SHAPE", `${where}: expected ${expected}, found [${shape.join(", ")}]`);
  }
}

/** What is written of each chunk. */
export interface ExtractedChunk {
  features: Tensor;
  logits: Tensor;
  labels: Int32Array;
}

export interface WrittenArray {
  readonly name: string;
  readonly file: string;
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** Takes chunks in order; the files appear under their names, complete, when it is committed. */
export interface ExtractedWriter {
  write(chunk: ExtractedChunk): Promise<void>;
  commit(): Promise<WrittenArray[]>;
  discard(): Promise<void>;
}

export interface ExtractedForm {
  featureName: "features" | "rawFeatures";
  featureDim: number;
  numClasses: number;
  /** Of images; only a .safetensors file has to know it first. */
  count: number;
  labels: boolean;
}

/** A .safetensors file by its ending, else a folder of .npy files. @throws ERR_IO */
export function openExtracted(path: string, form: ExtractedForm): Promise<ExtractedWriter> {
  return extname(path) === ".safetensors" ? openTensors(path, form) : openFolder(path, form);
}

async function openFolder(path: string, { featureName, featureDim, numClasses, labels }: ExtractedForm): Promise<ExtractedWriter> {
  await io("create", path, mkdir(path, { recursive: true }));
  const writers: NpyWriter<"float32" | "int64">[] = [];
  const discard = async () => void (await Promise.all(writers.map((writer) => writer.discard())));
  const open = async <D extends "float32" | "int64">(name: string, dtype: D, rowShape: number[]) => {
    const writer = await NpyWriter.open(join(path, `${name}.npy`), dtype, rowShape);
    writers.push(writer);
    return writer;
  };
  try {
    const features = await open(featureName, "float32", [featureDim]);
    const logits = await open("logits", "float32", [numClasses]);
    const classes = labels ? await open("labels", "int64", []) : undefined;
    return {
      discard,
      write: async (chunk) => {
        await features.write(chunk.features.toArray() as Float32Array);
        await logits.write(chunk.logits.toArray() as Float32Array);
        await classes?.write(BigInt64Array.from(chunk.labels, BigInt));
      },
      commit: async () => {
        for (const writer of writers) await writer.commit();
        return writers.map(({ path: file, dtype, rows, rowShape }) => {
          const name = file.slice(path.length + 1, -".npy".length);
          return { name, file, dtype, shape: [rows, ...rowShape] };
        });
      },
    };
  } catch (error) {
    await discard();
    throw error;
  }
}

async function openTensors(path: string, { featureName, featureDim, numClasses, count, labels }: ExtractedForm): Promise<ExtractedWriter> {
  const tensor = (name: string, dtype: SafetensorsDtype, shape: number[]) => {
    const byteLength = tensorByteLength(dtype, shape);
    if (byteLength === undefined) throw new LibtorchOodError("ERR_RANGE", `${path}: ${name} [${shape.join(", ")}] is larger than any file`);
    return { name, dtype, shape, byteLength };
  };
  const tensors = [
    tensor(featureName, "F32", [count, featureDim]),
    tensor("logits", "F32", [count, numClasses]),
    ...(labels ? [tensor("labels", "I64", [count])] : []),
  ];
  const header = formatHeader(tensors, new Map());
  const offsets = tensors.map((_, i) => tensors.slice(0, i).reduce((sum, { byteLength }) => sum + byteLength, header.length));
  const file: AtomicFile = await openAtomicFile(path);
  try {
    await file.write(header, 0);
  } catch (error) {
    await file.discard();
    throw error;
  }
  let rows = 0;
  const writeRows = (index: number, values: Float32Array | BigInt64Array, columns: number) => {
    const position = (offsets[index] as number) + rows * columns * values.BYTES_PER_ELEMENT;
    return file.write(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), position);
  };
  return {
    discard: () => file.discard(),
    write: async (chunk) => {
      await writeRows(0, chunk.features.toArray() as Float32Array, featureDim);
      await writeRows(1, chunk.logits.toArray() as Float32Array, numClasses);
      if (labels) await writeRows(2, BigInt64Array.from(chunk.labels, BigInt), 1);
      rows += chunk.features.shape[0] as number;
    },
    commit: async () => {
      if (rows !== count) throw new LibtorchOodError("ERR_SHAPE", `${path}: expected ${count} rows, found ${rows}`);
      await file.commit();
      return tensors.map(({ name, dtype, shape }) => ({ name, file: path, dtype: dtype === "F32" ? "float32" : "int64", shape }));
    },
  };
}
