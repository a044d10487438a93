// Whether calibration inputs were trained on: their scores would be too high, and the false-alarm rate would not hold.

import { createHash } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import type { Dataset } from "../datasets/dataset";
import { LibtorchOodError } from "../errors";
import type { Tensor } from "../tensor";

/** Rows of equal length, one per input. */
export interface Rows {
  readonly count: number;
  /** The bytes of a row. */
  readonly row: (index: number) => Uint8Array;
}

const bytesPerTurn = 1 << 20; // about a millisecond of hashing

/**
 * SHA-256 over all calibration rows, in hexadecimal.
 *
 * @throws ERR_OPTION where a calibration row equals a training row to the last bit, unless `allowOverlap`
 */
export async function hashDisjoint(training: Rows, calibration: Rows, allowOverlap: boolean): Promise<string> {
  const seen = new Set(await digests(training));
  const held = await digests(calibration);
  const shared = held.flatMap((digest, i) => (seen.has(digest) ? [i] : []));
  if (shared.length > 0 && !allowOverlap) {
    throw new LibtorchOodError(
      "ERR_OPTION",
      `calibration: expected inputs that were not trained on, found ${shared.length} of ${calibration.count} among the training inputs ` +
        `(the first is number ${shared[0]}): the false-alarm rate would not hold; leave them out, or set allowOverlap: true`,
    );
  }
  const all = createHash("sha256");
  for (const digest of held) all.update(digest);
  return all.digest("hex");
}

async function digests({ count, row }: Rows): Promise<string[]> {
  const found: string[] = [];
  for (let i = 0, bytes = 0; i < count; i++) {
    const content = row(i);
    found.push(createHash("sha256").update(content).digest("base64"));
    bytes += content.length + 256;
    if (bytes < bytesPerTurn) continue;
    bytes = 0;
    await turn();
  }
  return found;
}

export function imageRows(data: Dataset): Rows {
  return { count: data.length, row: (index) => data.image(index) };
}

/** Values as float64, so that a row is recognised whatever its dtype was. */
export function tensorRows(tensor: Tensor): Rows {
  return {
    count: tensor.shape[0] as number,
    row: (index) => {
      const slice = tensor.slice(index, index + 1); // one at a time: a copy of all would hold the event loop up
      const values = slice.toArray() as Float32Array | Float64Array;
      slice.dispose();
      return new Uint8Array(Float64Array.from(values).buffer);
    },
  };
}
