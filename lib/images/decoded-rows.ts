// Decodes images into a native tensor of one row each; those that cannot be decoded are left out of it, or end the call.

import { setImmediate as turn } from "node:timers/promises";
import type { LibtorchOodError } from "../core/errors";
import { Scope } from "../core/scope";
import { abortError, callNative } from "../native/call";
import { native, type NativeTensor } from "../native/surface";
import { decodeImages, type ImageTarget } from "./decode";
import type { TakenImage } from "./image";

/** Images that were decoded. */
export interface DecodedRows {
  /** uint8 [n, C, size, size], without the images that could not be decoded; the caller disposes of it. */
  readonly tensor: NativeTensor;
  /** Why images are not in it, by their index. */
  readonly faults: ReadonlyMap<number, LibtorchOodError>;
}

/**
 * @param leaveOut - whether images that cannot be decoded are left out
 * @param onFaults - function that is told of those, before the rows of the others move up. An error that its promise rejects with ends the call
 * @throws what {@link decodeImages} throws
 */
export async function decodeRows(
  taken: readonly TakenImage[],
  target: ImageTarget,
  leaveOut: boolean,
  onFaults?: (faults: DecodedRows["faults"]) => Promise<void>,
): Promise<DecodedRows> {
  const { channels, size } = target;
  const faults = new Map<number, LibtorchOodError>();
  return Scope.run(async (scope) => {
    const all = scope.own(newTensor([taken.length, channels, size, size]));
    const onFault = leaveOut ? (index: number, error: LibtorchOodError) => void faults.set(index, error) : undefined;
    await decodeImages(taken, target, all, { onFault });
    await onFaults?.(faults);
    return { tensor: faults.size > 0 ? await withoutRows(all, faults, target.signal) : scope.release(all), faults };
  });
}

/** Memory for images, uint8. @throws ERR_OUT_OF_MEMORY */
export function newTensor(shape: readonly number[]): NativeTensor {
  return callNative(() => new (native().Tensor)(null, [...shape], "uint8"));
}

const pieceBytes = 1 << 20; // every piece is copied three times, about 2 ms: the event loop turns between them

async function withoutRows(
  tensor: NativeTensor,
  left: ReadonlyMap<number, unknown>,
  signal: AbortSignal | undefined,
): Promise<NativeTensor> {
  const [count = 0, ...shape] = tensor.shape;
  const length = shape.reduce((product, size) => product * size, 1);
  const rowsAtOnce = Math.max(1, Math.floor(pieceBytes / length));
  return Scope.run(async (scope) => {
    const result = scope.own(newTensor([count - left.size, ...shape]));
    let next = 0;
    for (let start = 0; start < count; start += rowsAtOnce) {
      await turn();
      if (signal?.aborted) throw abortError(signal);
      const end = Math.min(count, start + rowsAtOnce);
      const piece = tensor.slice(start, end);
      const rows = piece.toTypedArray() as Uint8Array;
      piece.dispose();
      let kept = 0;
      for (let row = start; row < end; row++) {
        if (!left.has(row)) rows.copyWithin(length * kept++, (row - start) * length, (row - start + 1) * length);
      }
      result.write(next, rows.subarray(0, length * kept));
      next += length * kept;
    }
    return scope.release(result);
  });
}
