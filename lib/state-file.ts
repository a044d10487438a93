// The file of fitted numbers: a .safetensors file of named arrays, whose metadata holds as JSON what they are.

import { describe, string } from "./checks";
import { LibtorchOodError } from "./errors";
import { openSafetensors, writeSafetensors } from "./files/safetensors";
import type { SafetensorsDtype } from "./files/safetensors";
import { native, type NativeArray, type NativeDtype, type NativeNamedTensor } from "./native";
import { callNative } from "./native-call";

const fileDtypes = { float32: "F32", float64: "F64", int64: "I64" } as const;

/** Writes the arrays atomically. @throws ERR_IO, ERR_OPTION */
export async function writeStateFile(
  path: string,
  format: string,
  description: object,
  state: readonly NativeNamedTensor[],
): Promise<void> {
  const tensors = state.map(({ name, tensor }) => ({
    name,
    dtype: fileDtypes[tensor.dtype as keyof typeof fileDtypes],
    shape: tensor.shape,
    data: tensor.toTypedArray(),
  }));
  const metadata = { format, version: "1", description: JSON.stringify(description) };
  await writeSafetensors(string(path, "path"), tensors, { metadata });
}

export interface StateFile {
  /** The parsed JSON; nothing about it has been checked but that it is an object. */
  description: Record<string, unknown>;
  state: NativeNamedTensor[];
}

/** Reads all arrays. @throws ERR_CORRUPT_FILE for another format or version, ERR_IO */
export async function readStateFile(path: string, format: string): Promise<StateFile> {
  const file = await openSafetensors(string(path, "path"));
  try {
    requireMetadata(path, "format", format, file.metadata.get("format"));
    requireMetadata(path, "version", "1", file.metadata.get("version"));
    const description = parseObject(path, file.metadata.get("description"));
    const state: NativeNamedTensor[] = [];
    for (const [name, { dtype, shape }] of file.tensors) {
      const bytes = await file.read(name);
      const { data, kind } = typedArray(path, name, dtype, bytes);
      state.push({ name, tensor: callNative(() => new (native().Tensor)(data, shape, kind)) });
    }
    return { description, state };
  } finally {
    await file.close();
  }
}

/** ERR_CORRUPT_FILE that names the file, what was expected and what was found. */
export function corrupt(path: string, what: string, expected: string, found: unknown): never {
  throw new LibtorchOodError("ERR_CORRUPT_FILE", `${path}: ${what}: expected ${expected}, found ${describe(found)}`);
}

function requireMetadata(path: string, key: string, expected: string, found: string | undefined): void {
  if (found !== expected) corrupt(path, `metadata ${key}`, `"${expected}"`, found);
}

function parseObject(path: string, text: string | undefined): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text ?? "");
  } catch {
    corrupt(path, "metadata description", "JSON", text);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) corrupt(path, "metadata description", "a JSON object", value);
  return value as Record<string, unknown>;
}

function typedArray(
  path: string,
  name: string,
  dtype: SafetensorsDtype,
  bytes: Uint8Array<ArrayBuffer>,
): { data: NativeArray; kind: NativeDtype } {
  if (dtype === "F32") return { data: new Float32Array(bytes.buffer), kind: "float32" };
  if (dtype === "F64") return { data: new Float64Array(bytes.buffer), kind: "float64" };
  if (dtype === "I64") return { data: new BigInt64Array(bytes.buffer), kind: "int64" };
  corrupt(path, name, "F32, F64 or I64", dtype);
}
