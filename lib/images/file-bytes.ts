// The bytes of an encoded image, wherever they are, within limits of size.

import { corruptFile, io } from "../core/file-errors";
import type { Path } from "../formats/path-text";
import { allocateBytes, openRegularFile, readExactly } from "../formats/regular-file";
import { untilAborted } from "../native/call";
import type { ImageTarget } from "./decode";
import type { FileImage } from "./native-decoding";

type Limits = Pick<ImageTarget, "maxPixels" | "signal">;

/** No image of 100 million pixels needs a larger file; one of more may need {@link bytesPerPixel}. */
const usualLimit = 1 << 28;
const bytesPerPixel = 4;

/** Largest file that is read, in bytes. */
export function maxFileBytes({ maxPixels }: Pick<Limits, "maxPixels">): number {
  return Math.max(usualLimit, bytesPerPixel * (maxPixels ?? 0));
}

/** The bytes of an image. @throws ERR_IO; ERR_CORRUPT_FILE beyond {@link maxFileBytes}; ERR_ABORTED */
export async function fileBytes(image: FileImage["image"], limits: Limits): Promise<Buffer> {
  if ("encoded" in image) return asBuffer(image.encoded);
  return "path" in image ? readFile(image.name, image.path as Path, limits) : blobBytes(image.name, image.blob, limits);
}

/** The bytes of a Blob. The file behind one may have gone since it was made. */
export async function blobBytes(name: string, blob: Blob, limits: Limits): Promise<Buffer> {
  requireSize(name, blob.size, limits);
  const read = async (): Promise<Buffer> => Buffer.from(await blob.arrayBuffer());
  const bytes = await untilAborted(io("read", name, read()), limits.signal);
  requireSize(name, bytes.length, limits);
  return bytes;
}

async function readFile(name: string, path: Path, limits: Limits): Promise<Buffer> {
  const file = await openRegularFile(path, name);
  try {
    requireSize(name, file.size, limits);
    const bytes = asBuffer(allocateBytes(file.size, name));
    await readExactly(file.handle, name, 0, bytes);
    return bytes;
  } finally {
    await file.handle.close();
  }
}

function requireSize(name: string, bytes: number, limits: Limits): void {
  const limit = maxFileBytes(limits);
  if (bytes > limit) throw corruptFile(name, `an image file of at most ${limit} bytes`, `${bytes} bytes`);
}

/** sharp knows a Buffer of any realm, but a Uint8Array only of its own. */
export function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
