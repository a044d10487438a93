// JPEG files that every viewer shows though their headers break the standard: what is wrong in them is put right in a copy, so that the decoder can go
// on refusing whatever it warns of in the pixels themselves.

/** Start of image, of scan, end of image, and the markers that stand alone. */
const [startOfImage, startOfScan, endOfImage] = [0xd8, 0xda, 0xd9];
const isRestart = (marker: number): boolean => marker >= 0xd0 && marker <= 0xd7;
const isBaseline = (marker: number): boolean => marker === 0xc0 || marker === 0xc1;

/**
 * Puts right, without touching coded pixels: a scan header 0, 0, 0 of a sequential image (some cameras; 0, 63, 0 is meant), bytes between two segments,
 * a JFIF version that does not exist, and restart markers that are numbered wrongly.
 *
 * @returns a copy; undefined where there is none of these, or where the file is damaged otherwise
 */
export function repairJpeg(bytes: Buffer): Buffer | undefined {
  const pieces: Buffer[] = [];
  let changed = false;
  let baseline = false;
  let at = 0;
  const keep = (start: number, end: number): Buffer => {
    const piece = Buffer.from(bytes.subarray(start, end));
    pieces.push(piece);
    return piece;
  };
  while (at < bytes.length) {
    const next = bytes.indexOf(0xff, at);
    if (next < 0) break;
    const code = bytes[next + 1];
    if (code === undefined) return undefined;
    if (next > at) changed = true; // what lies between two segments is dropped
    if (code === 0xff) {
      at = next + 1; // fill bytes may stand before a marker
      continue;
    }
    if (code === 0) {
      changed = true;
      at = next + 2;
      continue;
    }
    if (code === endOfImage) {
      keep(next, bytes.length);
      return changed ? Buffer.concat(pieces) : undefined;
    }
    if (code === startOfImage || code === 0x01 || isRestart(code)) {
      keep(next, next + 2);
      at = next + 2;
      continue;
    }
    if (next + 4 > bytes.length) return undefined;
    const end = next + 2 + bytes.readUInt16BE(next + 2);
    if (end > bytes.length || end < next + 4) return undefined;
    const segment = keep(next, end);
    at = end;
    if (isBaseline(code)) baseline = true;
    if (code === 0xe0 && segment.toString("latin1", 4, 9) === "JFIF\0" && segment[9] !== 1 && segment.length > 10) {
      segment.writeUInt16BE(0x0101, 9);
      changed = true;
    }
    if (code !== startOfScan) continue;
    if (baseline && segment.subarray(-3).every((byte) => byte === 0)) {
      segment[segment.length - 2] = 63;
      changed = true;
    }
    const scan = scanEnd(bytes, at);
    if (numberRestarts(keep(at, scan))) changed = true;
    at = scan;
  }
  return undefined; // without an end it is cut off
}

/** Where the coded pixels that begin at `start` end: at a marker that is no restart. */
function scanEnd(bytes: Buffer, start: number): number {
  for (let at = bytes.indexOf(0xff, start); at >= 0; at = bytes.indexOf(0xff, at + 1)) {
    const code = bytes[at + 1] ?? 0xff;
    if (code !== 0 && code !== 0xff && !isRestart(code)) return at;
  }
  return bytes.length;
}

/** Restart markers count from 0 to 7, and again. */
function numberRestarts(scan: Buffer): boolean {
  let changed = false;
  let count = 0;
  for (let at = scan.indexOf(0xff); at >= 0; at = scan.indexOf(0xff, at + 1)) {
    if (!isRestart(scan[at + 1] ?? 0)) continue;
    const wanted = 0xd0 + (count++ % 8);
    if (scan[at + 1] !== wanted) changed = true;
    scan[at + 1] = wanted;
  }
  return changed;
}
