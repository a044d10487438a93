// Writes native tensors to .safetensors files with one piece in JavaScript's memory at a time, and reads them back.

import { arrayOf, bytesOfArray, bytesPerElement, dtypes, isNativeDtype, nativeDtypes, type NativeDtype } from "../core/dtype";
import { callNative } from "../native/call";
import { LibtorchOodError } from "../core/errors";
import { native, type NativeNamedTensor, type NativeTensor, type StoredDtype } from "../native/surface";
import type { SafetensorsEntry, SafetensorsFile } from "./safetensors";
import { dtypeIn } from "./safetensors-data";
import { writeTensors } from "./safetensors-writer";

/** Bytes that are copied out of native memory between turns of the event loop: about a millisecond. */
const bytesPerTurn = 1 << 22;

/**
 * Writes the tensors atomically. They must not be disposed of until the promise settles.
 *
 * @param stored - dtype that floating tensors are rounded to; undefined: their own
 * @throws ERR_IO; ERR_RANGE for too long a header, and naming a tensor with a number that is infinite in `stored`
 */
export async function writeNativeTensors(
  path: string,
  tensors: readonly NativeNamedTensor[],
  metadata: ReadonlyMap<string, string>,
  stored?: StoredDtype,
): Promise<void> {
  const planned = tensors.map(({ name, tensor }) => ({ name, dtype: dtypes[storedAs(tensor, stored)].safetensors, shape: tensor.shape }));
  await writeTensors(path, { tensors: planned, metadata }, piecesOf(tensors, stored));
}

function storedAs({ dtype }: NativeTensor, stored: StoredDtype | undefined): NativeDtype | StoredDtype {
  return stored !== undefined && dtypes[dtype].kind === "float" ? stored : dtype;
}

function* piecesOf(tensors: readonly NativeNamedTensor[], stored: StoredDtype | undefined): Generator<[string, Uint8Array]> {
  for (const { name, tensor } of tensors) {
    const dtype = storedAs(tensor, stored);
    const values = (piece: NativeTensor) => {
      if (dtype === piece.dtype) return piece.toTypedArray();
      try {
        return callNative(() => piece.toTypedArray(dtype as StoredDtype));
      } catch (error) {
        const { code, message } = error as LibtorchOodError;
        throw new LibtorchOodError(code, `${name}: ${message}`, { cause: error });
      }
    };
    for (const piece of tensorBytes(tensor, values)) yield [name, piece];
  }
}

/** The bytes in pieces of whole rows; the writer waits for the disk after each. */
function* tensorBytes(tensor: NativeTensor, values: (piece: NativeTensor) => ArrayBufferView): Generator<Uint8Array> {
  const { shape, dtype } = tensor;
  const [rows] = shape;
  const bytes = shape.reduce((product, size) => product * size, bytesPerElement(dtype));
  if (rows === undefined || bytes <= bytesPerTurn) {
    yield bytesOfArray(values(tensor));
    return;
  }
  const step = Math.max(1, Math.floor(bytesPerTurn / (bytes / rows)));
  for (let start = 0; start < rows; start += step) {
    const piece = tensor.slice(start, Math.min(start + step, rows));
    const bytes = bytesOfArray(values(piece));
    piece.dispose();
    yield bytes;
  }
}

/**
 * Reads one tensor into native memory.
 *
 * @param allowed - dtypes that it may have
 * @param refuse - called where it has another
 */
export async function readNativeTensor(
  file: SafetensorsFile,
  name: string,
  allowed: readonly NativeDtype[],
  refuse: (expected: string, found: string) => never,
): Promise<NativeTensor> {
  const { dtype: stored, shape } = file.tensors.get(name) as SafetensorsEntry;
  const dtype = dtypeIn(stored);
  if (!isNativeDtype(dtype) || !allowed.includes(dtype)) refuse(allowed.map((one) => dtypes[one].safetensors).join(", "), stored);
  const data = arrayOf(dtype, (await file.read(name)).buffer); // of its own, so that the only copy is the one into native memory
  return callNative(() => new (native().Tensor)(data, shape, dtype));
}

/**
 * Reads one tensor of a network into native memory: float16 and bfloat16 become float32, other dtypes stay.
 *
 * @param refuse - called where it has a dtype that no tensor has
 */
export async function readStoredTensor(
  file: SafetensorsFile,
  name: string,
  refuse: (expected: string, found: string) => never,
): Promise<NativeTensor> {
  const { dtype: stored, shape } = file.tensors.get(name) as SafetensorsEntry;
  const dtype = dtypeIn(stored);
  if (dtype !== "float16" && dtype !== "bfloat16") return readNativeTensor(file, name, nativeDtypes, refuse);
  const bits = arrayOf(dtype, (await file.read(name)).buffer);
  return callNative(() => new (native().Tensor)(bits, shape, "float32", dtype));
}
