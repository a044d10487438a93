// Whether calibration inputs were trained on: their scores would be too high, and the false-alarm rate would not hold.

import { createHash } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { LibtorchOodError } from "../errors";

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
