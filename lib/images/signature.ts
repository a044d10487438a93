// Tells the format of an encoded image by its first bytes. Only the formats named here reach a decoder: others that its library may know (SVG, PDF, …)
// can refer to other files or run for long.

import { corruptFile } from "../core/file-errors";

/** The formats that are read. */
export type Format = "png" | "jpeg" | "webp" | "gif" | "tiff" | "avif";

/** The formats that are read, in words. */
export const formatNames = "PNG, JPEG, WebP, GIF, TIFF or AVIF";

/** The format of an image file. @throws ERR_CORRUPT_FILE for any other content */
export function formatOf(name: string, bytes: Buffer): Format {
  const format = imageFormat(bytes);
  if (format !== undefined) return format;
  const found = heifBrands(bytes).some((brand) => heic.test(brand)) ? "a HEIC image" : begins(bytes);
  throw corruptFile(name, `a ${formatNames} image`, found);
}

/** The format by the first bytes of a file; undefined for any other content. */
export function imageFormat(bytes: Buffer): Format | undefined {
  const text = bytes.toString("latin1", 0, 16);
  if (text.startsWith("\xff\xd8\xff")) return "jpeg";
  if (text.startsWith("\x89PNG\r\n\x1a\n")) return "png";
  if (/^RIFF[^]{4}WEBP/.test(text)) return "webp";
  if (/^GIF8[79]a/.test(text)) return "gif";
  if (/^(?:II[*+]\0|MM\0[*+])/.test(text)) return "tiff";
  return heifBrands(bytes).some((brand) => brand === "avif" || brand === "avis") ? "avif" : undefined;
}

const heic = /^(?:he(?:ic|ix|im|is|vc|vx)|mif1|msf1)$/;

function begins(bytes: Buffer): string {
  return bytes.length === 0 ? "no bytes" : `bytes that begin ${bytes.toString("hex", 0, 12)}`;
}

/** The brands in the first box of a HEIF file, of which AVIF and HEIC are kinds. Empty for other files. */
function heifBrands(bytes: Buffer): string[] {
  if (bytes.length < 16 || bytes.toString("latin1", 4, 8) !== "ftyp") return [];
  const end = Math.min(bytes.readUInt32BE(0), bytes.length, 16 + 4 * 32);
  const brands = [bytes.toString("latin1", 8, 12)];
  for (let at = 16; at + 4 <= end; at += 4) brands.push(bytes.toString("latin1", at, at + 4));
  return brands;
}

/** An AVIF file whose first brand says that it is a sequence, as one of a single image, which is its first: decoders know only that one. */
export function asStillAvif(bytes: Buffer): Buffer {
  if (bytes.toString("latin1", 8, 12) !== "avis") return bytes;
  const still = Buffer.from(bytes);
  still.write("avif", 8, "latin1");
  return still;
}
