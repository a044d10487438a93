// Reads features from files that `extract` or another program wrote, for `fit`, `score` and `evaluate`.

import { readdir, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { describe, typedArrayName } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { modelOutputs, type ModelOutput } from "../core/model-outputs";
import { corruptFile, io, systemCode } from "../core/file-errors";
import { readNpy, type NpyArray } from "../formats/npy";
import { openSafetensors, toValues, type SafetensorsEntry, type SafetensorsFile } from "../formats/safetensors";
import { dtypes } from "../core/dtype";
import { dtypeIn, isNumericDtype } from "../formats/safetensors-data";
import { readTextFile } from "../formats/text-file";
import type { TrainingOutputs } from "../scores";
import { Tensor } from "../native/tensor";
import { readRecord, requireRecorded } from "./extraction-record";

/** The arrays that a file may hold, by name. */
const otherNames = ["weight", "labels", "bias"] as const;
type ArrayName = ModelOutput | (typeof otherNames)[number];

/** The files of a folder of features. */
export const arrayFiles: readonly string[] = [...modelOutputs, ...otherNames].map((name) => `${name}.npy`);

/**
 * A folder with `features.npy`, `logits.npy`, `labels.npy` and so on, a .safetensors file with tensors of these names, or a .npy file of features.
 *
 * Where the folder has the record that `extract` writes, the arrays that it names must be as that run wrote them.
 *
 * Numbers of any dtype are taken whose values stay as they are: integers as features, as float64; narrow ones as labels.
 *
 * @throws ERR_CORRUPT_FILE, ERR_IO; ERR_SHAPE, ERR_DTYPE, ERR_RANGE for arrays that are no matrix or list of such numbers, or of different lengths;
 *   ERR_OPTION where there is none of these names
 */
export async function readExtracted(path: string): Promise<TrainingOutputs> {
  if (extname(path).toLowerCase() === ".npy" && !(await isFolder(path))) return { features: await npyTensor(path, "features") };
  const outputs = (await isFolder(path)) ? await readFolder(path) : await readTensors(path);
  requireOneLength(path, outputs);
  return outputs;
}

async function isFolder(path: string): Promise<boolean> {
  return (await io("read", path, stat(path))).isDirectory();
}

/** Row i of each is of one image. */
function requireOneLength(path: string, outputs: Readonly<Record<string, Tensor>>): void {
  const rows = [...modelOutputs, "labels"].flatMap((name) => {
    const array = outputs[name];
    return array === undefined ? [] : [{ name, length: array.shape[0] as number }];
  });
  if (rows.every(({ length }) => length === rows[0]?.length)) return;
  const found = rows.map(({ name, length }) => `${name} of ${length}`).join(", ");
  throw new LibtorchOodError("ERR_SHAPE", `${path}: expected arrays with a row for each image, found ${found} rows`);
}

/** A list of labels by itself. @throws as {@link readExtracted} */
export function readLabels(path: string): Promise<Tensor> {
  return npyTensor(path, "labels");
}

/** Names of classes, one a line. @throws ERR_CORRUPT_FILE, also for none, or for one that comes twice; ERR_IO, ERR_ABORTED */
export async function readClassNames(path: string, signal?: AbortSignal): Promise<string[]> {
  const text = await readTextFile(path, "a list of class names", 1 << 24, { fromUser: true, signal });
  const names = text.split(/\r?\n/).filter((line) => line !== "");
  if (names.length === 0) throw corruptFile(path, "names of classes, one a line", "none");
  const known = new Set<string>();
  for (const name of names) {
    if (known.has(name)) throw corruptFile(path, "different class names", `${describe(name)} twice`);
    known.add(name);
  }
  return names;
}

async function readFolder(path: string): Promise<Record<string, Tensor>> {
  const outputs: Record<string, Tensor> = {};
  const record = await readRecord(path);
  for (const name of [...modelOutputs, ...otherNames]) {
    const file = join(path, `${name}.npy`);
    const there = await stat(file).then(
      () => true,
      (error: unknown) => systemCode(error) !== "ENOENT",
    );
    if (!there) continue;
    outputs[name] = await npyTensor(file, name, async (values) => {
      if (record !== undefined) await requireRecorded(record, path, `${name}.npy`, values);
    });
  }
  if (modelOutputs.every((name) => outputs[name] === undefined)) {
    const files = (await io("read", path, readdir(path))).filter((name) => name.endsWith(".npy"));
    throw nothingFound(path, "features.npy", files);
  }
  return outputs;
}

async function npyTensor(path: string, name: ArrayName, check?: (values: Uint8Array) => Promise<void>): Promise<Tensor> {
  const { dtype, shape, data } = await readNpy(path);
  requireForm(path, name, dtype.startsWith("float"), dtype, shape);
  await check?.(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return Tensor.from(fitting(data, name, path), shape);
}

async function readTensors(path: string): Promise<Record<string, Tensor>> {
  const file = await openSafetensors(path);
  try {
    const outputs: Record<string, Tensor> = {};
    for (const name of [...modelOutputs, ...otherNames]) {
      if (file.tensors.has(name)) outputs[name] = await fileTensor(file, name);
    }
    if (modelOutputs.every((name) => outputs[name] === undefined)) {
      const found = Array.from(file.tensors, ([name, { dtype, shape }]) => `${describe(name)} ${dtype} [${shape.join(", ")}]`);
      throw nothingFound(path, 'a tensor "features"', found);
    }
    return outputs;
  } finally {
    await file.close();
  }
}

async function fileTensor(file: SafetensorsFile, name: ArrayName): Promise<Tensor> {
  const { dtype, shape } = file.tensors.get(name) as SafetensorsEntry;
  const where = `${file.path}: ${name}`;
  requireForm(where, name, isNumericDtype(dtype) ? dtypes[dtypeIn(dtype)].kind === "float" : undefined, dtype, shape);
  const bytes = await file.read(name);
  if (dtype === "I64" || dtype === "U64") {
    const wide = dtype === "I64" ? new BigInt64Array(bytes.buffer) : BigInt64Array.from(toValues(dtype, bytes), BigInt);
    return Tensor.from(fitting(wide, name, where), shape);
  }
  const values: ArrayBufferView & ArrayLike<number> = toValues(dtype, bytes);
  const known = /^(Float32|Float64|Int32)Array$/.test(typedArrayName(values));
  return Tensor.from(fitting(known ? (values as NpyArray) : Float64Array.from(values), name, where), shape);
}

/** Labels as whole numbers, everything else as floats. Of values that are one or the other already there is no copy. */
function fitting(values: NpyArray, name: ArrayName, where: string): NpyArray {
  const kind = typedArrayName(values);
  if (name === "labels") return kind.startsWith("Float") ? BigInt64Array.from(values as Float64Array, BigInt) : values;
  if (kind.startsWith("Float")) return values;
  if (kind === "Int32Array") return Float64Array.from(values as Int32Array);
  return Float64Array.from(values as BigInt64Array, (value, i) => {
    const number = Number(value);
    if (BigInt(number) === value) return number;
    throw new LibtorchOodError("ERR_RANGE", `${where}: expected numbers that float64 holds exactly, found ${value} as element ${i}`);
  });
}

function nothingFound(path: string, expected: string, found: readonly string[]): LibtorchOodError {
  const more = found.length > 8 ? `, … (${found.length})` : "";
  const list = found.length === 0 ? "none" : found.slice(0, 8).join(", ") + more;
  return new LibtorchOodError("ERR_OPTION", `${path}: expected ${expected} (or rawFeatures, logits), found ${list}`);
}

/** @param isFloat - undefined: the dtype is of no real numbers */
function requireForm(where: string, name: ArrayName, isFloat: boolean | undefined, dtype: string, shape: readonly number[]): void {
  const isLabels = name === "labels";
  if (isFloat === undefined) throw new LibtorchOodError("ERR_DTYPE", `${where}: expected real numbers of 16 bits or more, found ${dtype}`);
  if (isLabels && isFloat) {
    throw new LibtorchOodError("ERR_DTYPE", `${where}: expected whole numbers (array.astype("int64") gives them), found ${dtype}`);
  }
  const dimensions = isLabels || name === "bias" ? 1 : 2;
  // Rows without columns: a file of 100 bytes may state 2^52 of them.
  if (shape.length !== dimensions || (shape[1] === 0 && shape[0] !== 0)) {
    const expected = dimensions === 2 ? "a matrix [N, columns]" : "a list [N]";
    throw new LibtorchOodError("ERR_SHAPE", `${where}: expected ${expected}, found [${shape.join(", ")}]`);
  }
}
