// Pictures of every kind that is read equal Pillow's (test/reference/pictures.py) within the tolerance that each states there.

import expected from "../reference/pictures.json";
import { checkGeometry } from "../../lib/images/geometry";
import { decodeImages } from "../../lib/images/decode";
import type { Truncated } from "../../lib";
import { takeImages } from "../../lib/images/image";
import { libraryFailureOf, useOneThread } from "../models/resnet/tiny-network";

useOneThread();
const bytes = (base64: string): Buffer => Buffer.from(base64, "base64");

/** H×W×3, as Pillow has it. */
async function decode(image: Uint8Array, size: number, truncated?: Truncated): Promise<Buffer> {
  const target = { ...checkGeometry({ size, resize: "none" }, "target"), truncated, signal: undefined };
  const planes = new Uint8Array(3 * size * size);
  await decodeImages(takeImages(image, "images"), target, planes);
  return Buffer.from(planes.map((_, k) => planes[(k % 3) * size * size + Math.floor(k / 3)] as number));
}

function largestGap(found: Buffer, wanted: Buffer): number {
  expect(found).toHaveLength(wanted.length);
  return wanted.reduce((gap, value, i) => Math.max(gap, Math.abs(value - (found[i] as number))), 0);
}

test.each(expected.kinds)("$name: within $tolerance of Pillow", async ({ file, size, tolerance, rgb }) => {
  expect(largestGap(await decode(bytes(file), size), bytes(rgb))).toBeLessThanOrEqual(tolerance);
});

test.each(expected.truncated)("$name: refused, or within $tolerance of Pillow", async ({ file, size, tolerance, rgb }) => {
  expect(await libraryFailureOf(() => decode(bytes(file), size))).toMatchObject({ code: "ERR_CORRUPT_FILE", message: /cut off/ });
  expect(largestGap(await decode(bytes(file), size, "accept"), bytes(rgb))).toBeLessThanOrEqual(tolerance);
});

test.each(["GIF", "TIFF, RGB"])("%s without its end: refused, or what is there of it", async (name) => {
  const { file, size, rgb } = expected.kinds.find((kind) => kind.name === name) as (typeof expected.kinds)[number];
  const cut = bytes(file).subarray(0, name === "GIF" ? -60 : -20);
  expect(await libraryFailureOf(() => decode(cut, size))).toMatchObject({ code: "ERR_CORRUPT_FILE" });
  if (name !== "GIF") return; // sharp may give nothing of such a file
  const rows = 3 * size;
  expect((await decode(cut, size, "accept")).subarray(0, rows)).toEqual(bytes(rgb).subarray(0, rows));
});

test("a file of which the header is missing is refused in any case", async () => {
  const { file, size } = expected.truncated[0] as (typeof expected.truncated)[number];
  expect(await libraryFailureOf(() => decode(bytes(file).subarray(0, 100), size, "accept"))).toMatchObject({ code: "ERR_CORRUPT_FILE" });
});

test.each(Object.entries(expected.refused))("%s is refused", async (_, file) => {
  expect(await libraryFailureOf(() => decode(bytes(file), 12))).toMatchObject({
    code: "ERR_CORRUPT_FILE",
    message: /8 or 16 bits a sample/,
  });
});

test("a HEIC file is named", async () => {
  for (const brands of ["heic\0\0\0\0mif1heic", "mif1\0\0\0\0mif1heic"]) {
    const file = Buffer.from(`\0\0\0\x18ftyp${brands}\0\0\0\x08mdat`, "latin1");
    expect(await libraryFailureOf(() => decode(file, 8))).toMatchObject({ code: "ERR_CORRUPT_FILE", message: /found a HEIC image$/ });
  }
});

/** Bytes changed and bytes missing, the same at every run. */
function damaged(file: Buffer, seed: number): Buffer {
  let state = seed;
  const next = (below: number): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % below;
  const copy = Buffer.from(file);
  for (let changes = 1 + next(4); changes > 0; changes--) copy[next(copy.length)] = next(256);
  return next(3) === 0 ? copy.subarray(0, next(copy.length)) : copy;
}

test.each(["JPEG", "PNG", "WebP", "GIF", "TIFF", "AVIF"])("damaged files, %s: pixels or ERR_CORRUPT_FILE, nothing else", async (format) => {
  const files = expected.kinds.filter(({ name }) => name.startsWith(format));
  const size = 16;
  const target = { ...checkGeometry({ size, resize: "squash" }, "target"), signal: undefined, maxPixels: 1 << 20 };
  const images = files.flatMap(({ file }, i) => Array.from({ length: 40 }, (_, k) => damaged(bytes(file), 1 + 40 * i + k)));
  const codes = new Set<string>();
  const planes = new Uint8Array(3 * size * size * images.length);
  await decodeImages(takeImages(images, "images"), target, planes, { onFault: (_, { code }) => codes.add(code) });
  expect([...codes]).toEqual(["ERR_CORRUPT_FILE"]);
});
