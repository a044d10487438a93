// Repairs a copy of a JPEG file whose headers break the standard though every viewer shows it. The decoder can then still refuse whatever it warns of in
// the pixels themselves.

/** Start of image, of scan, end of image, and the markers that stand alone. */
const [startOfImage, startOfScan, endOfImage] = [0xd8, 0xda, 0xd9];
const isRestart = (marker: number): boolean => marker >= 0xd0 && marker <= 0xd7;
const isBaseline = (marker: number): boolean => marker === 0xc0 || marker === 0xc1;
const isFrame = (marker: number): boolean => marker >= 0xc0 && marker <= 0xc2;
const restartInterval = 0xdd;

/**
 * Repairs these faults without touching coded pixels: a scan header of a sequential image other than 0, 63, 0, which is the only valid one (some cameras
 * write 0, 0, 0); bytes between two segments; a JFIF version that does not exist; a colour transform in Adobe's segment that does not exist; and restart
 * markers that are numbered wrongly though none is missing.
 *
 * @returns a repaired copy; undefined if the file has none of these faults, or is damaged in another way
 */
export function repairJpeg(bytes: Buffer): Buffer | undefined {
  const pieces: Buffer[] = [];
  let changed = false;
  let baseline = false;
  let frame: Frame | undefined;
  let adobe: Buffer | undefined;
  let interval = 0;
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
    if (isFrame(code)) frame = frameOf(segment);
    if (code === restartInterval && segment.length >= 6) interval = segment.readUInt16BE(4);
    if (code === 0xe0 && segment.toString("latin1", 4, 9) === "JFIF\0" && segment[9] !== 1 && segment.length > 10) {
      segment.writeUInt16BE(0x0101, 9);
      changed = true;
    }
    if (code === 0xee && segment.toString("latin1", 4, 9) === "Adobe" && segment.length > 15) adobe = segment;
    if (code !== startOfScan) continue;
    if (adobe !== undefined && frame !== undefined && nameTransform(adobe, frame.components)) changed = true;
    const isFull = segment.length >= 7 && segment.subarray(-3).equals(fullScan);
    if (baseline && segment.length >= 7 && !isFull) {
      segment.set(fullScan, segment.length - 3);
      changed = true;
    }
    const scan = scanEnd(bytes, at);
    const restarts = numberRestarts(keep(at, scan));
    if (restarts.changed) {
      // Where one is missing, coded pixels are too: in order, the rest would be shown in the wrong place.
      if (frame === undefined || restarts.count !== restartsOf(segment, frame, interval)) return undefined;
      changed = true;
    }
    at = scan;
  }
  return undefined; // without an end it is cut off
}

/** The end of the coded pixels that begin at `start`: the next marker that is no restart. */
function scanEnd(bytes: Buffer, start: number): number {
  for (let at = bytes.indexOf(0xff, start); at >= 0; at = bytes.indexOf(0xff, at + 1)) {
    const code = bytes[at + 1] ?? 0xff;
    if (code !== 0 && code !== 0xff && !isRestart(code)) return at;
  }
  return bytes.length;
}

/**
 * Adobe's transforms are 0 or 1 (YCbCr) for three components, and 0 or 2 (YCCK) for four. Decoders warn of any other number and take the pixels as
 * transformed.
 */
function nameTransform(adobe: Buffer, components: number): boolean {
  const transformed = { 3: 1, 4: 2 }[components];
  if (transformed === undefined || adobe[15] === 0 || adobe[15] === transformed) return false;
  adobe[15] = transformed;
  return true;
}

/** Restart markers count from 0 to 7, and again. */
function numberRestarts(scan: Buffer): { changed: boolean; count: number } {
  let changed = false;
  let count = 0;
  for (let at = scan.indexOf(0xff); at >= 0; at = scan.indexOf(0xff, at + 1)) {
    if (!isRestart(scan[at + 1] ?? 0)) continue;
    const wanted = 0xd0 + (count++ % 8);
    if (scan[at + 1] !== wanted) changed = true;
    scan[at + 1] = wanted;
  }
  return { changed, count };
}

/** What every scan of a sequential image has: all 64 coefficients, to the last bit. */
const fullScan = Buffer.from([0, 63, 0]);

interface Frame {
  readonly components: number;
  readonly width: number;
  readonly height: number;
  /** Sampling factors of each component, by its identifier. */
  readonly sampling: ReadonlyMap<number, readonly [x: number, y: number]>;
}

function frameOf(segment: Buffer): Frame | undefined {
  const components = segment[9] ?? 0;
  if (components === 0 || segment.length < 10 + 3 * components) return undefined;
  const sampling = new Map<number, readonly [number, number]>();
  for (let at = 10; at < 10 + 3 * components; at += 3) {
    const factors = segment[at + 1] as number;
    sampling.set(segment[at] as number, [factors >> 4, factors & 15]);
  }
  return { height: segment.readUInt16BE(5), width: segment.readUInt16BE(7), components, sampling };
}

/** Number of restart markers in a complete scan; undefined if its header does not tell. */
function restartsOf(scan: Buffer, { width, height, sampling }: Frame, interval: number): number | undefined {
  const [x, y] = [0, 1].map((axis) => Math.max(...Array.from(sampling.values(), (factors) => factors[axis] as number))) as [number, number];
  const own = scan[4] === 1 ? sampling.get(scan[5] as number) : ([1, 1] as const);
  if (own === undefined || own.includes(0) || interval === 0) return undefined;
  // A scan of one component counts its blocks, of 8 × 8 samples; one of several the blocks of all that lie together.
  const units =
    scan[4] === 1
      ? Math.ceil(Math.ceil((width * own[0]) / x) / 8) * Math.ceil(Math.ceil((height * own[1]) / y) / 8)
      : Math.ceil(width / (8 * x)) * Math.ceil(height / (8 * y));
  return Math.ceil(units / interval) - 1;
}
