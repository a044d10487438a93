// Compares inputs by hash: calibration inputs that were trained on would score too high, and the false-alarm rate would not hold. Also warns if the
// score is fitted to images that the network was not trained on.

import { createHash } from "node:crypto";
import { LibtorchOodError } from "../core/errors";
import { digests, SeenInputs, type Rows } from "../data/seen-inputs";

export interface ComparedInputs {
  /** SHA-256 over all calibration rows, in hexadecimal. */
  readonly calibrationHash: string;
  /** All rows of training and calibration. */
  readonly seen: SeenInputs;
  /** What a user should know about them. */
  readonly warnings: readonly string[];
}

/**
 * Compares training and calibration rows, and both with what the network was trained on.
 *
 * @param trainedOn - the inputs that the network records as trained on; none where it has no record
 * @throws ERR_OPTION where a calibration row equals a training row to the last bit, or one that the network was trained on, unless `allowOverlap`
 */
export async function compareInputs(
  training: Rows,
  calibration: Rows,
  allowOverlap: boolean,
  trainedOn: SeenInputs = SeenInputs.none,
): Promise<ComparedInputs> {
  const fitted = await digests(training);
  const held = await digests(calibration);
  const known = new Set(fitted);
  const shared = held.flatMap((digest, i) => (known.has(digest) ? [i] : []));
  const trained = trainedOn.amongDigests(held).indices;
  const [indices, where] =
    shared.length > 0 || trained.length === 0
      ? [shared, "the training inputs"]
      : [trained, "those that the network was trained on, though not in train (was it trained on another split?)"];
  const warnings: string[] = [];
  if (indices.length > 0) {
    const found = `${indices.length} of ${calibration.count} among ${where}`;
    if (!allowOverlap) {
      throw new LibtorchOodError(
        "ERR_OPTION",
        `calibration: expected inputs that were not trained on, found ${found} ` +
          `(the first is number ${indices[0]}): the false-alarm rate would not hold; leave them out, or set allowOverlap: true (--allow-overlap)`,
      );
    }
    warnings.push(`calibration: ${found}: the false-alarm rate does not hold`);
  }
  if (!trainedOn.isEmpty) {
    const { indices: same, checked } = trainedOn.amongDigests(fitted);
    if (same.length < checked) {
      warnings.push(
        `train: ${checked - same.length} of ${checked} images are not among those that the network was trained on (was it trained on another split?)`,
      );
    }
  }
  const all = createHash("sha256");
  for (const digest of held) all.update(digest);
  return { calibrationHash: all.digest("hex"), seen: SeenInputs.ofDigests([...fitted, ...held]), warnings };
}
