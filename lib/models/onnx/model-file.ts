// Reads an ONNX file, or takes its bytes, and computes the SHA-256 that a detector's file keeps, weights in files beside it included.

import { createHash, type Hash } from "node:crypto";
import { dirname, isAbsolute, join, normalize } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { fail } from "../../core/checks";
import { LibtorchOodError } from "../../core/errors";
import { corruptFile } from "../../core/file-errors";
import { absolutePath, workingFolder } from "../../formats/path-text";
import { allocateBytes, openRegularFile, readExactly } from "../../formats/regular-file";
import { abortError } from "../../native/call";

/** The longest message that protobuf reads. */
const mostBytes = 2 ** 31 - 1;
/** Bytes that are hashed before the event loop turns: about two milliseconds. */
const bytesPerTurn = 1 << 20;

/** The bytes of a model and where its other files lie. */
export interface ModelBytes {
  readonly bytes: Uint8Array;
  /** What errors call the model: its path, or "model". */
  readonly name: string;
  /** The path as it was given; undefined for bytes. */
  readonly path: string | undefined;
  /** Folder of the files that hold its weights; undefined for bytes. */
  readonly folder: string | undefined;
}

/** @throws ERR_IO where the file cannot be read; ERR_CORRUPT_FILE where it is larger than a protobuf message; ERR_OPTION for another value */
export async function modelBytes(source: string | Uint8Array): Promise<ModelBytes> {
  if (typeof source !== "string") {
    if (!ArrayBuffer.isView(source) || source.BYTES_PER_ELEMENT !== 1) fail("ERR_OPTION", "model", "a path or the bytes of a file", source);
    return { bytes: new Uint8Array(source), name: "model", path: undefined, folder: undefined };
  }
  const absolute = absolutePath(source, workingFolder()) as string;
  const file = await openRegularFile(absolute, source);
  try {
    if (file.size > mostBytes) throw corruptFile(source, `an ONNX model of at most ${mostBytes} bytes`, `${file.size} bytes`);
    const bytes = allocateBytes(file.size, source);
    await readExactly(file.handle, source, 0, bytes);
    return { bytes, name: source, path: source, folder: dirname(absolute) };
  } finally {
    await file.handle.close();
  }
}

/**
 * The path of a file that holds weights.
 *
 * @throws ERR_OPTION for a model that was given as bytes; ERR_CORRUPT_FILE for a place outside the model's folder
 */
export function externalPath({ name, folder }: ModelBytes, location: string): string {
  if (folder === undefined) {
    throw new LibtorchOodError(
      "ERR_OPTION",
      `${name}: expected the path of a model whose weights lie in files of their own, found its bytes`,
    );
  }
  if (location === "" || isAbsolute(location) || normalize(location).startsWith("..")) {
    throw corruptFile(name, "files of weights beside the model", JSON.stringify(location));
  }
  return join(folder, location);
}

/** SHA-256 over the bytes of the model, and then over the files that hold its weights, in the order of the model; hexadecimal. */
export async function modelHash(model: ModelBytes, externalFiles: readonly string[], signal: AbortSignal | undefined): Promise<string> {
  const hash = createHash("sha256");
  await addBytes(hash, model.bytes, signal);
  for (const location of externalFiles) {
    const path = externalPath(model, location);
    const { handle, size } = await openRegularFile(path);
    try {
      for (let at = 0; at < size; at += 64 * bytesPerTurn) {
        const piece = allocateBytes(Math.min(64 * bytesPerTurn, size - at), path);
        await readExactly(handle, path, at, piece);
        await addBytes(hash, piece, signal);
      }
    } finally {
      await handle.close();
    }
  }
  return hash.digest("hex");
}

async function addBytes(hash: Hash, bytes: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
  for (let at = 0; at < bytes.length; at += bytesPerTurn) {
    if (at > 0) await turn();
    if (signal?.aborted) throw abortError(signal);
    hash.update(bytes.subarray(at, at + bytesPerTurn));
  }
}
