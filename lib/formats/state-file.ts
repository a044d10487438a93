// The file of fitted numbers: a .safetensors file of named arrays. Its metadata describes them in JSON.

import { describe, string } from "../core/checks";
import { isLibtorchOodError, LibtorchOodError } from "../core/errors";
import { corruptFile } from "../core/file-errors";
import { formatName } from "./format-names";
import { parseJson } from "./json";
import { openSafetensors } from "./safetensors";
import { readNativeTensor, writeNativeTensors } from "./tensor-file";
import type { NativeNamedTensor } from "../native/surface";

/** Dtypes that fitted numbers may have. */
const stateDtypes = ["float32", "float64", "int64"] as const;

/**
 * Writes the arrays atomically, with one piece of one array in JavaScript's memory at a time.
 *
 * @throws ERR_IO, ERR_RANGE, ERR_OPTION
 */
export async function writeStateFile(
  path: string,
  format: string,
  description: object,
  state: readonly NativeNamedTensor[],
): Promise<void> {
  const metadata = new Map([
    ["format", format],
    ["version", "1"],
    ["description", JSON.stringify(description)],
  ]);
  await writeNativeTensors(string(path, "path"), state, metadata);
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
    const found = file.metadata.get("format");
    if (found !== format) throw corruptFile(path, formatName(format), formatName(found));
    const version = file.metadata.get("version");
    if (version !== "1") corrupt(path, "metadata version", '"1"', version);
    const description = parseObject(path, file.metadata.get("description"));
    const state: NativeNamedTensor[] = [];
    for (const name of file.tensors.keys()) {
      const refuse = (expected: string, found: string) => corrupt(path, name, `one of ${expected}`, found);
      state.push({ name, tensor: await readNativeTensor(file, name, stateDtypes, refuse) });
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

/** Runs what restores from a file: an argument that is refused came from there, and the message names the file. @throws ERR_CORRUPT_FILE */
export async function restoring<T>(where: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    const codes = ["ERR_RANGE", "ERR_SHAPE", "ERR_NON_FINITE", "ERR_DTYPE", "ERR_CORRUPT_FILE"];
    if (!isLibtorchOodError(error) || !codes.includes(error.code)) throw error;
    if (error.code === "ERR_CORRUPT_FILE" && error.message.startsWith(`${where}: `)) throw error;
    throw new LibtorchOodError("ERR_CORRUPT_FILE", `${where}: ${error.message}`, { cause: error });
  }
}

function parseObject(path: string, text: string | undefined): Record<string, unknown> {
  let value: unknown;
  try {
    value = parseJson(text ?? "");
  } catch (error) {
    corrupt(path, "metadata description", `JSON (${(error as Error).message.slice(0, 100)})`, text);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) corrupt(path, "metadata description", "a JSON object", value);
  return value as Record<string, unknown>;
}
