// The file of fitted numbers: a .safetensors file of named arrays, whose metadata holds as JSON what they are.

import { describe, string } from "../core/checks";
import { arrayOf, bytesOfArray, dtypes } from "../core/dtype";
import { isLibtorchOodError, LibtorchOodError } from "../core/errors";
import { writeFileAtomically } from "./atomic-write";
import { corruptFile } from "../core/file-errors";
import { formatName } from "./format-names";
import { parseJson } from "./json";
import { openSafetensors } from "./safetensors";
import { dtypeIn } from "./safetensors-data";
import { formatHeader, maxHeaderBytes, tensorByteLength } from "./safetensors-header";
import { native, type NativeNamedTensor, type NativeTensor } from "../native/surface";
import { callNative } from "../native/call";

/** Copied out of native memory at once, between turns of the event loop: about a millisecond. */
const bytesPerTurn = 1 << 22;

/** Writes the arrays atomically; a piece of one is in JavaScript's memory at a time. @throws ERR_IO, ERR_RANGE, ERR_OPTION */
export async function writeStateFile(
  path: string,
  format: string,
  description: object,
  state: readonly NativeNamedTensor[],
): Promise<void> {
  const tensors = state.map(({ name, tensor }) => {
    const dtype = dtypes[tensor.dtype].safetensors;
    return { name, dtype, shape: tensor.shape, byteLength: tensorByteLength(dtype, tensor.shape) as number };
  });
  const metadata = new Map([
    ["format", format],
    ["version", "1"],
    ["description", JSON.stringify(description)],
  ]);
  const header = formatHeader(tensors, metadata);
  if (header.length - 8 > maxHeaderBytes) {
    throw new LibtorchOodError("ERR_RANGE", `${path}: expected a header of at most ${maxHeaderBytes} bytes, found ${header.length - 8}`);
  }
  await writeFileAtomically(string(path, "path"), fileBytes(header, state));
}

function* fileBytes(header: Uint8Array, state: readonly NativeNamedTensor[]): Generator<Uint8Array> {
  yield header;
  for (const { tensor } of state) yield* tensorBytes(tensor);
}

/** The bytes in pieces of whole rows; the writer waits for the disk after each. */
function* tensorBytes(tensor: NativeTensor): Generator<Uint8Array> {
  const [rows] = tensor.shape;
  const bytes = tensorByteLength(dtypes[tensor.dtype].safetensors, tensor.shape) ?? 0;
  if (rows === undefined || bytes <= bytesPerTurn) {
    yield bytesOfArray(tensor.toTypedArray());
    return;
  }
  const step = Math.max(1, Math.floor(bytesPerTurn / (bytes / rows)));
  for (let start = 0; start < rows; start += step) {
    const piece = tensor.slice(start, Math.min(start + step, rows));
    const values = piece.toTypedArray();
    piece.dispose();
    yield bytesOfArray(values);
  }
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
    for (const [name, { dtype, shape }] of file.tensors) {
      const kind = dtypeIn(dtype);
      if (kind !== "float32" && kind !== "float64" && kind !== "int64") corrupt(path, name, "F32, F64 or I64", dtype);
      const data = arrayOf(kind, (await file.read(name)).buffer);
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
