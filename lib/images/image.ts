// Takes single images as programs hold them: encoded bytes, the path of a file, a Blob, RGBA pixels as a canvas gives them.

import { describe, fail, integer, typedArrayName } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { absolutePath, pathOfUrl, pathText, workingFolder, type Path } from "../formats/path-text";
import { listOf } from "../core/lists";

/** Pixels as the `ImageData` of a canvas holds them: R, G, B, A, row by row, with alpha not multiplied in. */
export interface ImageDataLike {
  /** The pixels, 4 · width · height bytes. */
  readonly data: Uint8ClampedArray | Uint8Array;
  /** Width in pixels. */
  readonly width: number;
  /** Height in pixels. */
  readonly height: number;
}

/** One image: the bytes of a PNG, JPEG, WebP, GIF, TIFF or AVIF file, also as a Blob; the path of such a file, also as a `file:` URL; or RGBA pixels. */
export type Image = Uint8Array | string | URL | Blob | ImageDataLike;

/** Default largest number of pixels of an image. Memory and time grow with pixels, and a file of a few kilobytes can claim billions. */
export const maxPixels = 100_000_000;
/** Default largest number of pixels of a JPEG that is decoded row by row, for which only time grows. Telephones take 108 and 200 million. */
export const maxPixelsInRows = 250_000_000;
/** Longest side of a JPEG in pixels; sharp's resize overflows at sides some times longer. */
export const maxSide = 65_535;

/** The option `maxPixels`. @throws ERR_OPTION for anything but an integer; ERR_RANGE below 1 and beyond {@link maxSide}² */
export function checkMaxPixels(value: number | undefined): number | undefined {
  return value === undefined ? undefined : integer(value, "maxPixels", 1, maxSide ** 2);
}

/**
 * An image that belongs to the call: a {@link Path} (spelled out, since declarations do without Node's types), a Blob, or a copy of the caller's bytes.
 * Error messages call it `name`.
 */
export type TakenImage =
  | { readonly name: string; readonly path: string | Uint8Array }
  | { readonly name: string; readonly blob: Blob }
  | { readonly name: string; readonly encoded: Uint8Array<ArrayBuffer> }
  /** One that is known to be unreadable: decoding it throws the error. */
  | { readonly name: string; readonly fault: LibtorchOodError }
  | {
      readonly name: string;
      readonly pixels: Uint8Array<ArrayBuffer>;
      readonly width: number;
      readonly height: number;
      /** Number of planes that the pixels are stored in, grey or RGB; without it they are RGBA. */
      readonly planes?: 1 | 3;
    };

export function isImage(value: unknown): value is Image {
  if (typeof value === "string" || ArrayBuffer.isView(value) || isUrl(value) || isBlob(value)) return true;
  return typeof value === "object" && value !== null && "data" in value && "width" in value && "height" in value;
}

/**
 * Checks what can be checked without decoding, and copies: what the caller does to the images afterwards has no effect.
 *
 * @param name - what messages call the images
 * @param folder - what relative paths begin at
 * @throws ERR_OPTION for anything but images, and for text that is no path; ERR_DTYPE for bytes or pixels in another typed array; ERR_SHAPE if pixels are
 *   not 4 · width · height bytes; ERR_RANGE for pixels of a size below 1 or of more than {@link maxPixels}
 */
export function takeImages(images: Image | readonly Image[], name: string, folder = workingFolder()): TakenImage[] {
  if (Array.isArray(images)) {
    const list = listOf(images);
    if (list === undefined) fail("ERR_OPTION", name, "an array of images", images);
    const copy = list.length < 64 ? copyOne : copierOfMany();
    return Array.from(list, (image, i) => takeImage(image as Image, `${name}[${i}]`, folder, copy)); // not map(), which passes over holes
  }
  return [takeImage(images as Image, name, folder, copyOne)];
}

function takeImage(image: Image, name: string, folder: string | undefined, copyOf: Copier): TakenImage {
  if (typeof image === "string") return takePath(image, name, folder);
  if (isUrl(image)) return takePath(pathOfUrl(image, name), name, folder);
  if (isBlob(image)) return { name, blob: image };
  if (ArrayBuffer.isView(image)) {
    if (typedArrayName(image) !== "Uint8Array") fail("ERR_DTYPE", name, "the bytes of an image file as a Uint8Array or Buffer", image);
    return { name, encoded: copyOf(image) };
  }
  if (!isImage(image)) fail("ERR_OPTION", name, "encoded bytes, a path, a file: URL, a Blob or { data, width, height }", image);
  const { data } = image;
  const width = integer(image.width, `${name}.width`, 1);
  const height = integer(image.height, `${name}.height`, 1);
  if (!ArrayBuffer.isView(data) || !["Uint8ClampedArray", "Uint8Array"].includes(typedArrayName(data))) {
    fail("ERR_DTYPE", `${name}.data`, "a Uint8ClampedArray of RGBA pixels", data);
  }
  if (width * height > maxPixels) {
    throw new LibtorchOodError("ERR_RANGE", `${name}: expected at most ${maxPixels} pixels, found ${width}×${height}`);
  }
  if (data.length !== 4 * width * height) {
    const expected = `4·${width}·${height} = ${4 * width * height} bytes (RGBA)`;
    throw new LibtorchOodError("ERR_SHAPE", `${name}.data: expected ${expected}, found ${describe(data)}`);
  }
  return { name, pixels: copyOf(data as Uint8Array), width, height };
}

type Copier = (bytes: Uint8Array) => Uint8Array<ArrayBuffer>;

/** Copies an array. One whose buffer was transferred has no bytes and cannot be copied by the constructor. */
const copyOne: Copier = (bytes) => (bytes.byteLength === 0 ? new Uint8Array(0) : new Uint8Array(bytes));

const blockBytes = 1 << 20;

/** Copies many small arrays into blocks, since making 100,000 ArrayBuffers would stop the event loop for seconds. */
function copierOfMany(): Copier {
  let block = new Uint8Array(0);
  let used = 0;
  return (bytes) => {
    const length = bytes.byteLength;
    if (length === 0 || length > blockBytes / 16) return copyOne(bytes);
    if (used + length > block.length) {
      block = new Uint8Array(blockBytes);
      used = 0;
    }
    const copy = block.subarray(used, used + length);
    copy.set(bytes);
    used += length;
    return copy;
  };
}

/** No path is longer on any system. */
const maxPathLength = 32_767;

function takePath(path: Path, name: string, folder: string | undefined): TakenImage {
  if (typeof path === "string") {
    if (/^data:/i.test(path)) fail("ERR_OPTION", name, 'the path of a file (of a data: URL, pass Buffer.from(text, "base64"))', path);
    if (/^file:/i.test(path)) fail("ERR_OPTION", name, "a path, or a URL object (new URL(text))", path);
    if (path.length > maxPathLength) {
      const found = `text of ${path.length} characters, ${describe(path)}`;
      throw new LibtorchOodError(
        "ERR_OPTION",
        `${name}: expected the path of a file (of base64, pass Buffer.from(text, "base64")), found ${found}`,
      );
    }
    if (path.includes("\0")) fail("ERR_OPTION", name, "a path without NUL characters", path);
  }
  return { name: pathText(path), path: absolutePath(path, folder) };
}

/** Recognises a URL by its tag: it may be of another realm. */
function isUrl(value: unknown): value is URL {
  return Object.prototype.toString.call(value) === "[object URL]";
}

function isBlob(value: unknown): value is Blob {
  return ["[object Blob]", "[object File]"].includes(Object.prototype.toString.call(value));
}
