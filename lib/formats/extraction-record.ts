// What says which files are of one run of `extract`, so that those of two runs are never taken for one: `extraction.json` beside the arrays of a folder,
// metadata in a .safetensors file, the index of shards.

import { createHash } from "node:crypto";
import { join } from "node:path";
import { describe } from "../core/checks";
import { isLibtorchOodError } from "../core/errors";
import { corruptFile, systemCode } from "../core/file-errors";
import { check, like, list, object, oneOf, record, whole, type Schema, type Typed } from "../core/schema";
import { parseJson } from "./json";
import { openRegularFile, readExactly } from "./regular-file";
import { openSafetensors } from "./safetensors";
import { readTextFile } from "./text-file";

/** Of a .npy file the values, which are its last bytes; of a text all of it. */
export type RecordedFile = Readonly<Typed<typeof recordedFile>>;

/** What `extraction.json` holds; `count` are the rows of every array. */
export type ExtractionRecord = Readonly<Typed<typeof extractionRecord>>;

const sha256 = like("64 hexadecimal digits", (value) => (typeof value === "string" && /^[0-9a-f]{64}$/.test(value) ? value : undefined));
export const recordedFile = object({ bytes: whole(), sha256 });
/** Files of a run by name, as a record or the metadata of a .safetensors file lists them. */
export const recordedFiles = record(recordedFile);
const extractionRecord = object({
  format: oneOf(["libtorch-ood extraction"]),
  version: oneOf([1]),
  count: whole(),
  files: recordedFiles,
});

const shardIndex = object({
  format: oneOf(["libtorch-ood extraction"]),
  version: oneOf([1]),
  count: whole(),
  shards: list(
    object({
      file: like("the name of a file", (value) => (typeof value === "string" && /^[^/\\\0]+$/.test(value) ? value : undefined)),
      count: whole(),
      arrays: recordedFiles,
    }),
    { least: 1 },
  ),
  lists: recordedFiles,
});

/**
 * `NAME.safetensors.index.json`: the shards `NAME-00001-of-00003.safetensors` … that hold the rows one after the other, with the bytes and checksum of
 * each tensor, and those of the lists beside them.
 */
export type ShardIndex = Readonly<Typed<typeof shardIndex>>;

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
/** For more than 100,000 shards. */
const maxIndexBytes = 1 << 26;

/** The record of a folder; undefined where there is none. @throws ERR_CORRUPT_FILE, ERR_IO */
export async function readRecord(folder: string): Promise<ExtractionRecord | undefined> {
  const path = join(folder, recordName);
  try {
    return await readChecked(path, "the record of an extraction", maxRecordBytes, extractionRecord);
  } catch (error) {
    if (isLibtorchOodError(error) && systemCode(error.cause) === "ENOENT") return undefined;
    throw error;
  }
}

/** @throws ERR_CORRUPT_FILE, ERR_IO */
export function readIndex(path: string): Promise<ShardIndex> {
  return readChecked(path, "the index of shards of an extraction", maxIndexBytes, shardIndex);
}

async function readChecked<T>(path: string, what: string, maxBytes: number, schema: Schema<T>): Promise<T> {
  const text = await readTextFile(path, what, maxBytes);
  let value;
  try {
    value = parseJson(text);
  } catch (error) {
    throw corruptFile(path, what, "no JSON", error);
  }
  return check(schema, value, (place, expected, found) => {
    throw corruptFile(path, place === "" ? expected : `${place} to be ${expected}`, describe(found));
  });
}

const listsKey = "lists";

/** A run's own lists may be removed by a later run, and no others of their names: so the file says which they are. */
export function listsMetadata(lists: Readonly<Record<string, RecordedFile>>): ReadonlyMap<string, string> {
  return new Map(Object.keys(lists).length === 0 ? [] : [[listsKey, JSON.stringify(lists)]]);
}

/** The lists that the run wrote which wrote the file; undefined where there is no such file, or it does not say. */
export async function recordedLists(path: string): Promise<Record<string, RecordedFile> | undefined> {
  try {
    const file = await openSafetensors(path);
    try {
      return check(recordedFiles, parseJson(file.metadata.get(listsKey) ?? "{}"), (place, expected, found) => {
        throw corruptFile(path, `${listsKey}${place} to be ${expected}`, describe(found));
      });
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isLibtorchOodError(error) || error instanceof SyntaxError) return undefined;
    throw error;
  }
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
