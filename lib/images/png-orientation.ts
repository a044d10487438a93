// Reads the EXIF orientation of a PNG, whose eXIf chunk may stand behind the pixels, where the decoder does not look for it.

/**
 * The orientation in the first eXIf chunk, wherever it stands.
 *
 * @returns 1 to 8; 1 where there is none
 */
export function pngOrientation(bytes: Buffer): number {
  for (let at = 8; at + 12 <= bytes.length; at += 12 + bytes.readUInt32BE(at)) {
    if (bytes.toString("latin1", at + 4, at + 8) === "eXIf")
      return exifOrientation(bytes.subarray(at + 8, at + 8 + bytes.readUInt32BE(at)));
  }
  return 1;
}

const orientationTag = 0x0112;
/** TIFF's types of whole numbers of 16 and 32 bits. */
const [short, long] = [3, 4];

/** The orientation in a TIFF header and its first directory; "Exif\0\0" may stand before them, as in a JPEG. */
function exifOrientation(data: Buffer): number {
  const block = data.toString("latin1", 0, 6) === "Exif\0\0" ? data.subarray(6) : data;
  const order = block.toString("latin1", 0, 2);
  if ((order !== "II" && order !== "MM") || block.length < 8) return 1;
  const u16 = (at: number): number => (order === "II" ? block.readUInt16LE(at) : block.readUInt16BE(at));
  const u32 = (at: number): number => (order === "II" ? block.readUInt32LE(at) : block.readUInt32BE(at));
  const directory = u32(4);
  if (directory + 2 > block.length) return 1;
  const end = Math.min(block.length, directory + 2 + 12 * u16(directory));
  for (let at = directory + 2; at + 12 <= end; at += 12) {
    if (u16(at) !== orientationTag) continue;
    const type = u16(at + 2);
    const value = type === short ? u16(at + 8) : type === long ? u32(at + 8) : 1;
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}
