// Reads size and layout from the header of a plain image file, at a hundredth of the cost of asking sharp.

import { imageFormat } from "./signature";

export interface ImageHeader {
  /** Width and height of the stored pixels, which EXIF orientation may turn. */
  readonly width: number;
  readonly height: number;
  /** EXIF orientation, 1 to 8; 1 is as stored. */
  readonly orientation: number;
  /** Whether the image is a JPEG of C, M, Y, K. */
  readonly inks: boolean;
  /** Whether the image is a JPEG that is decoded row by row, so that it is never in memory as a whole. */
  readonly inRows: boolean;
}

/**
 * The header of a PNG, baseline JPEG or WebP without EXIF data, of grey, RGB or RGBA.
 *
 * @returns undefined for anything else and for a header that is unusual; sharp then decides
 */
export function plainHeader(bytes: Buffer): ImageHeader | undefined {
  const format = imageFormat(bytes);
  const size = format === "jpeg" ? jpegSize(bytes) : format === "png" ? pngSize(bytes) : format === "webp" ? webpSize(bytes) : undefined;
  if (size === undefined || size.width === 0 || size.height === 0) return undefined;
  return { ...size, orientation: 1, inks: false, inRows: false };
}

type Size = Pick<ImageHeader, "width" | "height">;

/** Reads the segments up to the first scan. */
function jpegSize(bytes: Buffer): Size | undefined {
  let size: Size | undefined;
  for (let at = 2; at + 4 <= bytes.length;) {
    const marker = bytes[at + 1] as number;
    const length = bytes.readUInt16BE(at + 2);
    const end = at + 2 + length;
    if (bytes[at] !== 0xff || marker < 0xc0 || marker === 0xff || length < 2 || end > bytes.length) return undefined;
    if (marker === 0xda) return size;
    if (marker === 0xe1 && bytes.toString("latin1", at + 4, at + 8) === "Exif") return undefined;
    const isFrame = marker < 0xd0 && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
    if (isFrame) {
      const [precision, components] = [bytes[at + 4], bytes[at + 9]];
      if (size !== undefined || marker > 0xc1 || length < 8 || precision !== 8 || (components !== 1 && components !== 3)) return undefined;
      size = { height: bytes.readUInt16BE(at + 5), width: bytes.readUInt16BE(at + 7) };
    }
    at = end;
  }
  return undefined;
}

/** Chunks that do not concern orientation; others may. */
const plainChunks = new Set([
  "IHDR",
  "PLTE",
  "IDAT",
  "IEND",
  "tRNS",
  "gAMA",
  "cHRM",
  "sRGB",
  "iCCP",
  "sBIT",
  "bKGD",
  "hIST",
  "pHYs",
  "tIME",
]);

function pngSize(bytes: Buffer): Size | undefined {
  if (bytes.length < 33 || bytes.readUInt32BE(8) !== 13 || bytes.toString("latin1", 12, 16) !== "IHDR") return undefined;
  for (let at = 8; at + 12 <= bytes.length; at += 12 + bytes.readUInt32BE(at)) {
    const type = bytes.toString("latin1", at + 4, at + 8);
    if (!plainChunks.has(type)) return undefined;
    if (type === "IEND") return { width: bytes.readUInt32BE(16), height: bytes.readUInt32BE(20) };
  }
  return undefined;
}

/** Reads a file without the extended header, which would announce EXIF data. */
function webpSize(bytes: Buffer): Size | undefined {
  if (bytes.length < 30) return undefined;
  const chunk = bytes.toString("latin1", 12, 16);
  if (chunk === "VP8 " && bytes.readUIntBE(23, 3) === 0x9d012a) {
    return { width: bytes.readUInt16LE(26) & 0x3fff, height: bytes.readUInt16LE(28) & 0x3fff };
  }
  if (chunk !== "VP8L" || bytes[20] !== 0x2f) return undefined;
  const bits = bytes.readUInt32LE(21);
  return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
}
