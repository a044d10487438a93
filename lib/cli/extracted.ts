// Features in files: what `fit`, `score` and `evaluate` read of what `extract` or another program wrote.

import { stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { LibtorchOodError } from "../errors";
import { io, systemCode } from "../files/file-errors";
import { readNpy } from "../files/npy";
import { openSafetensors, toValues } from "../files/safetensors";
import type { TrainingEvidence } from "../scores";
import { Tensor } from "../tensor";
import { readRecord, requireRecorded } from "./extraction-record";

/** The arrays that a file may hold, by name. */
const matrixNames = ["features", "rawFeatures", "logits", "weight"] as const;
const listNames = ["labels", "bias"] as const;

/** The files of a folder of features. */
export const arrayFiles: readonly string[] = [...matrixNames, ...listNames].map((name) => `${name}.npy`);

/**
 * A folder with `features.npy`, `logits.npy`, `labels.npy` and so on, a .safetensors file with tensors of these names, or a .npy file of features.
 *
 * Where the folder has the record that `extract` writes, the arrays that it names must be as that run wrote them.
 *
 * @throws ERR_CORRUPT_FILE, ERR_IO; ERR_SHAPE, ERR_DTYPE for arrays that are no matrix or list of numbers, or of different lengths
 */
export async function readExtracted(path: string): Promise<TrainingEvidence> {
  if (extname(path).toLowerCase() === ".npy" && !(await isFolder(path))) return { features: await npyTensor(path, 2) };
  const evidence = (await isFolder(path)) ? await readFolder(path) : await readTensors(path);
  requireOneLength(path, evidence);
  return evidence;
}

async function isFolder(path: string): Promise<boolean> {
  return (await io("read", path, stat(path))).isDirectory();
}

/** Row i of each is of one image. */
function requireOneLength(path: string, evidence: Readonly<Record<string, Tensor>>): void {
  const rows = ["features", "rawFeatures", "logits", "labels"].flatMap((name) => {
    const array = evidence[name];
    return array === undefined ? [] : [{ name, length: array.shape[0] as number }];
  });
  if (rows.every(({ length }) => length === rows[0]?.length)) return;
  const found = rows.map(({ name, length }) => `${name} of ${length}`).join(", ");
  throw new LibtorchOodError("ERR_SHAPE", `${path}: expected arrays with a row for each image, found ${found} rows`);
}

/** A list of labels by itself. @throws as {@link readExtracted} */
export function readLabels(path: string): Promise<Tensor> {
  return npyTensor(path, 1, ["int32", "int64"]);
}

async function readFolder(path: string): Promise<Record<string, Tensor>> {
  const evidence: Record<string, Tensor> = {};
  const record = await readRecord(path);
  for (const name of [...matrixNames, ...listNames]) {
    const file = join(path, `${name}.npy`);
    const there = await stat(file).then(
      () => true,
      (error: unknown) => systemCode(error) !== "ENOENT",
    );
    if (!there) continue;
    const dimensions = name === "labels" || name === "bias" ? 1 : 2;
    evidence[name] = await npyTensor(file, dimensions, name === "labels" ? ["int32", "int64"] : undefined, async (values) => {
      if (record !== undefined) await requireRecorded(record, path, `${name}.npy`, values);
    });
  }
  return evidence;
}

async function npyTensor(
  path: string,
  dimensions: number,
  dtypes = ["float32", "float64"],
  check?: (values: Uint8Array) => Promise<void>,
): Promise<Tensor> {
  const { dtype, shape, data } = await readNpy(path);
  requireForm(path, { dtype, shape }, dimensions, dtypes);
  await check?.(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return Tensor.from(data, shape);
}

async function readTensors(path: string): Promise<Record<string, Tensor>> {
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
