// `extraction.json` beside the arrays of a folder: which files are of one run of `extract`, so that those of two runs are never taken for one.

import { createHash } from "node:crypto";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { describe } from "../core/checks";
import { isLibtorchOodError } from "../core/errors";
import { corruptFile, systemCode } from "../core/file-errors";
import { check, like, object, oneOf, record, whole, type Typed } from "../core/schema";
import { parseJson } from "../formats/json";
import { openRegularFile, readExactly } from "../formats/regular-file";
import { readTextFile } from "../formats/text-file";

/** Of a .npy file the values, which are its last bytes; of a text all of it. */
export type RecordedFile = Readonly<Typed<typeof recordedFile>>;

/** What `extraction.json` holds; `count` are the rows of every array. */
export type ExtractionRecord = Readonly<Typed<typeof extractionRecord>>;

const sha256 = like("64 hexadecimal digits", (value) => (typeof value === "string" && /^[0-9a-f]{64}$/.test(value) ? value : undefined));
const recordedFile = object({ bytes: whole(), sha256 });
/** Files of a run by name, as a record or the metadata of a .safetensors file lists them. */
export const recordedFiles = record(recordedFile);
const extractionRecord = object({
  format: oneOf(["libtorch-ood extraction"]),
  version: oneOf([1]),
  count: whole(),
  files: recordedFiles,
});

export const recordName = "extraction.json";

/** What `extract` may write into a folder. */
export const extractionFiles = [
  "features.npy",
  "rawFeatures.npy",
  "logits.npy",
  "labels.npy",
  "images.txt",
  "classes.txt",
  "skipped.jsonl",
] as const;

/** Bytes that are hashed before the event loop turns: a few milliseconds. */
const bytesPerTurn = 1 << 21;
const maxRecordBytes = 1 << 20;

/** The record of a folder; undefined where there is none. @throws ERR_CORRUPT_FILE, ERR_IO */
export async function readRecord(folder: string): Promise<ExtractionRecord | undefined> {
  const path = join(folder, recordName);
  let text;
  try {
    text = await readTextFile(path, "the record of an extraction", maxRecordBytes);
  } catch (error) {
    if (isLibtorchOodError(error) && systemCode(error.cause) === "ENOENT") return undefined;
    throw error;
  }
  let value;
  try {
    value = parseJson(text);
  } catch (error) {
    throw corruptFile(path, "the record of an extraction", "no JSON", error);
  }
  return check(extractionRecord, value, (place, expected, found) => {
    throw corruptFile(path, place === "" ? expected : `${place} to be ${expected}`, describe(found));
  });
}

/** @throws ERR_CORRUPT_FILE where the values are not those of the run that the record is of */
export async function requireRecorded(record: ExtractionRecord, folder: string, name: string, values: Uint8Array): Promise<void> {
  const recorded = Object.hasOwn(record.files, name) ? record.files[name] : undefined;
  if (recorded === undefined) return;
  const hash = createHash("sha256");
  for (let start = 0; start < values.length; start += bytesPerTurn) {
    hash.update(values.subarray(start, start + bytesPerTurn));
    await turn();
  }
  if (values.length === recorded.bytes && hash.digest("hex") === recorded.sha256) return;
  const advice = `if you changed it yourself, remove ${recordName}; else extract again`;
  throw corruptFile(join(folder, name), `what the run of ${recordName} wrote`, `other values (${advice})`);
}

/** Whether a file is as the record says. @throws ERR_IO */
export async function isAsRecorded(path: string, { bytes, sha256 }: RecordedFile): Promise<boolean> {
  const { handle, size } = await openRegularFile(path);
  try {
    if (size < bytes) return false;
    const hash = createHash("sha256");
    const buffer = Buffer.alloc(Math.min(bytes, bytesPerTurn));
    for (let at = size - bytes; at < size; at += buffer.length) {
      const part = buffer.subarray(0, Math.min(buffer.length, size - at));
      await readExactly(handle, path, at, part);
      hash.update(part);
    }
    return hash.digest("hex") === sha256;
  } finally {
    await handle.close();
  }
}
