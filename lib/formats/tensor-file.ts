// Writes native tensors to .safetensors files with one piece in JavaScript's memory at a time, and reads them back.

import { arrayOf, bytesOfArray, bytesPerElement, dtypes, isNativeDtype, type NativeDtype } from "../core/dtype";
import { callNative } from "../native/call";
import { native, type NativeNamedTensor, type NativeTensor } from "../native/surface";
import type { SafetensorsEntry, SafetensorsFile } from "./safetensors";
import { dtypeIn } from "./safetensors-data";
import { writeTensors } from "./safetensors-writer";

/** Bytes that are copied out of native memory between turns of the event loop: about a millisecond. */
const bytesPerTurn = 1 << 22;

/** Writes the tensors atomically. They must not be disposed of until the promise settles. @throws ERR_IO, ERR_RANGE for too long a header */
export async function writeNativeTensors(
  path: string,
  tensors: readonly NativeNamedTensor[],
  metadata: ReadonlyMap<string, string>,
): Promise<void> {
  const planned = tensors.map(({ name, tensor: { dtype, shape } }) => ({ name, dtype: dtypes[dtype].safetensors, shape }));
  await writeTensors(path, { tensors: planned, metadata }, piecesOf(tensors));
}

function* piecesOf(tensors: readonly NativeNamedTensor[]): Generator<[string, Uint8Array]> {
  for (const { name, tensor } of tensors) for (const piece of tensorBytes(tensor)) yield [name, piece];
}

/** The bytes in pieces of whole rows; the writer waits for the disk after each. */
function* tensorBytes(tensor: NativeTensor): Generator<Uint8Array> {
  const { shape, dtype } = tensor;
  const [rows] = shape;
  const bytes = shape.reduce((product, size) => product * size, bytesPerElement(dtype));
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
