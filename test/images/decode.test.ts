// Decoding equals Pillow's (test/reference/images.py), resized or not: to the last bit, but for what decoders may round differently. Hostile images are
// refused.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import sharp from "sharp";
import expected from "../reference/images.json";
import { decodeImages, type ImageTarget } from "../../lib/images/decode";
import type { ImageFailure, OnError } from "../../lib";
import { checkGeometry } from "../../lib/images/geometry";
import { plainHeader } from "../../lib/images/header";
import { takeImages, type Image } from "../../lib/images/image";
import { temporaryDirectory } from "../support/temporary-directory";
import { failureOf, libraryFailureOf, tinyNetwork, useOneThread } from "../models/resnet/tiny-network";

useOneThread();
const directory = temporaryDirectory();
const bytes = (base64: string): Buffer => Buffer.from(base64, "base64");

/** H×W×channels, as Pillow has it. */
async function decode(image: Image, options: { size: number } & Partial<ImageTarget>): Promise<Buffer> {
  const target = { ...checkGeometry({ resize: "none", ...options }, "target"), signal: undefined, ...options };
  const area = target.size ** 2;
  const planes = new Uint8Array(target.channels * area);
  await decodeImages(takeImages(image, "images"), target, planes);
  return Buffer.from(planes.map((_, k) => planes[(k % target.channels) * area + Math.floor(k / target.channels)] as number));
}

function crc32(data: Uint8Array): number {
  let crc = ~0;
  for (const byte of data) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

function difference(found: Buffer, wanted: Buffer): { largest: number; mean: number } {
  expect(found).toHaveLength(wanted.length);
  const gaps = Array.from(wanted, (value, i) => Math.abs(value - (found[i] as number)));
  return { largest: gaps.reduce((a, b) => Math.max(a, b)), mean: gaps.reduce((a, b) => a + b) / gaps.length };
}

describe.each([...expected.exact, ...expected.lossy])("$name", ({ name, file, size, rgb, grey }) => {
  // JPEG and lossy WebP: decoders may round the inverse transform differently, by one; the versions here do not.
  const tolerance = expected.exact.some((entry) => entry.name === name) ? 0 : 1;

  test("as colour and as grey", async () => {
    expect(difference(await decode(bytes(file), { size }), bytes(rgb)).largest).toBeLessThanOrEqual(tolerance);
    expect(difference(await decode(bytes(file), { size, channels: 1 }), bytes(grey)).largest).toBeLessThanOrEqual(tolerance);
  });
});

test.each(expected.resized)("resize, $name, $resize", async ({ name, file, size, resize, rgb }) => {
  const { largest } = difference(await decode(bytes(file), { size, resize: resize as "squash" }), bytes(rgb));
  expect(largest).toBeLessThanOrEqual(name.startsWith("JPEG") ? 1 : 0);
});

// No profile, neither the file's nor one of the decoder's own: Pillow's arithmetic. The inverse transform of JPEG may round differently in each ink.
test.each(expected.cmyk)("$name: Pillow's colours", async ({ file, size, rgb, grey }) => {
  expect(difference(await decode(bytes(file), { size }), bytes(rgb)).largest).toBeLessThanOrEqual(3);
  expect(difference(await decode(bytes(file), { size, channels: 1 }), bytes(grey)).largest).toBeLessThanOrEqual(3);
  expect(difference(await decode(bytes(file), { size: size / 2, resize: "squash" }), await halved(bytes(rgb), size)).largest).toBeLessThanOrEqual(8); // prettier-ignore
});

async function halved(pixels: Buffer, size: number): Promise<Buffer> {
  const data = Uint8ClampedArray.from({ length: 4 * size * size }, (_, i) =>
    i % 4 === 3 ? 255 : (pixels[3 * (i >> 2) + (i % 4)] as number),
  );
  return decode({ data, width: size, height: size }, { size: size / 2, resize: "squash" });
}

describe("JPEG headers that break the standard, and that every viewer reads", () => {
  test.each(expected.odd)("$name: the sound pixels", async ({ file, size, rgb }) => {
    expect(difference(await decode(bytes(file), { size }), bytes(rgb)).largest).toBeLessThanOrEqual(1);
    expect(difference(await decode(bytes(file), { size: 8, resize: "squash" }), await decode(bytes(expected.odd[5]?.file as string), { size: 8, resize: "squash" })).largest).toBe(0); // prettier-ignore
  });

  test.each(expected.odd)("$name: what is damaged beside it is refused all the same", async ({ file, size }) => {
    const whole = bytes(file);
    const flipped = Buffer.from(whole);
    const restart = whole.indexOf(Buffer.from([0xff, 0xd1]), whole.lastIndexOf(Buffer.from([0xff, 0xda])));
    flipped.fill(0xff, restart > 0 ? restart + 4 : whole.length - 200, (restart > 0 ? restart + 4 : whole.length - 200) + 3);
    for (const damaged of [whole.subarray(0, -2), whole.subarray(0, whole.length >> 1), whole.subarray(0, -40), flipped]) {
      expect(await libraryFailureOf(() => decode(damaged, { size }))).toMatchObject({ code: "ERR_CORRUPT_FILE" });
    }
  });
});

test.each([
  ["YCCK", [1, 3, 255]],
  ["JPEG, 4:4:4", [2, 3, 255]],
] as const)("%s whose Adobe segment has no transform that exists: %j are read as transformed", async (name, transforms) => {
  const { file, size, rgb } = [...expected.lossy, ...expected.cmyk].find((entry) => entry.name === name) as (typeof expected.lossy)[number];
  const sound = bytes(file);
  // Where there is a JFIF segment, Adobe's is not looked at.
  const jfif = sound.indexOf("JFIF", 0, "latin1");
  const start = jfif < 0 ? 2 : 2 + 2 + sound.readUInt16BE(jfif - 2);
  const adobe = sound.indexOf("Adobe", 0, "latin1");
  for (const transform of transforms) {
    const odd = Buffer.from(sound);
    if (adobe >= 0) odd[adobe + 11] = transform;
    const segment = adobe >= 0 ? [] : [0xff, 0xee, 0, 14, ...Buffer.from("Adobe"), 0, 100, 0, 0, 0, 0, transform];
    const image = Buffer.concat([odd.subarray(0, 2), Buffer.from(segment), odd.subarray(start)]);
    expect(difference(await decode(image, { size }), bytes(rgb)).largest).toBeLessThanOrEqual(3);
  }
});

test.each(expected.exact.filter(({ name }) => /^PNG, EXIF orientation/.test(name)))(
  "$name, behind the pixels, and with the mark of a JPEG's",
  async ({ file, size, rgb }) => {
    const sound = bytes(file);
    const [at, pixels, end] = ["eXIf", "IDAT", "IEND"].map((type) => sound.indexOf(type, 0, "latin1") - 4) as [number, number, number];
    const length = 12 + sound.readUInt32BE(at);
    expect(at).toBeLessThan(pixels);
    const chunk = sound.subarray(at, at + length);
    const data = Buffer.concat([Buffer.from("Exif\0\0"), chunk.subarray(8, -4)]);
    const marked = Buffer.concat([Buffer.alloc(4), Buffer.from("eXIf"), data, Buffer.alloc(4)]);
    marked.writeUInt32BE(data.length);
    marked.writeUInt32BE(crc32(marked.subarray(4, -4)), marked.length - 4);
    for (const moved of [chunk, marked]) {
      const image = Buffer.concat([sound.subarray(0, at), sound.subarray(at + length, end), moved, sound.subarray(end)]);
      expect(difference(await decode(image, { size }), bytes(rgb)).largest).toBe(0);
    }
  },
);

test("wrong restart markers of a JPEG that lost or gained coded pixels between two: in order, the rest would be in the wrong place", async () => {
  const { file } = expected.odd.find(({ name }) => name.includes("wrong restart marker")) as (typeof expected.odd)[number];
  const whole = bytes(file); // two rows of two blocks, with the only marker between them
  const frame = whole.indexOf(Buffer.from([0xff, 0xc0]));
  const marker = whole.indexOf(Buffer.from([0xff, 0xd0]), whole.lastIndexOf(Buffer.from([0xff, 0xda])));
  /** Twice as wide: two rows of four blocks, with three markers. */
  const wide = (...markers: number[]): Buffer => {
    const pieces = markers.map((number) => Buffer.concat([Buffer.from([0xff, 0xd0 + number]), whole.subarray(marker + 2, -2)]));
    const jpeg = Buffer.concat([whole.subarray(0, marker), ...pieces, whole.subarray(-2)]);
    jpeg.writeUInt16BE(64, frame + 7);
    return jpeg;
  };
  const options = { size: 16, resize: "squash" } as const;
  expect(difference(await decode(wide(0, 5, 2), options), await decode(wide(0, 1, 2), options)).largest).toBe(0);
  for (const damaged of [wide(0, 2), wide(0, 1, 1, 2)]) {
    expect(await libraryFailureOf(() => decode(damaged, options))).toMatchObject({ code: "ERR_CORRUPT_FILE" });
  }
});

test.each([
  [0, 255, 0],
  [1, 63, 0],
  [0, 63, 16],
  [0, 0, 1],
])("the scan header %i, %i, %i of a baseline JPEG is of no account", async (...header) => {
  const { file, size, rgb } = expected.odd.find(({ name }) => /scan header/i.test(name)) as (typeof expected.odd)[number];
  const odd = bytes(file);
  const scan = odd.lastIndexOf(Buffer.from([0xff, 0xda]));
  odd.set(header, scan + 2 + odd.readUInt16BE(scan + 2) - 3);
  expect(difference(await decode(odd, { size }), bytes(rgb)).largest).toBeLessThanOrEqual(1);
});

test("antialiased: a checkerboard becomes its mean", async () => {
  const board = Uint8ClampedArray.from({ length: 4 * 64 * 64 }, (_, k) =>
    k % 4 === 3 || ((k >> 2) + Math.floor(k / 256)) % 2 === 1 ? 255 : 0,
  );
  const found = await decode({ data: board, width: 64, height: 64 }, { size: 16, resize: "squash" });
  for (const value of found) expect(Math.abs(value - 127.5)).toBeLessThan(2);
});

test("a large JPEG is reduced by the same kernel as its pixels, not by its decoder", async () => {
  const noise = Buffer.from(Array.from({ length: 256 * 256 }, (_, i) => (i * i * 2654435761) % 256));
  const jpeg = await sharp(noise, { raw: { width: 256, height: 256, channels: 1 } })
    .jpeg()
    .toBuffer();
  const pixels = await sharp(await sharp(jpeg).png().toBuffer())
    .toColourspace("srgb")
    .png()
    .toBuffer();
  for (const resize of ["squash", "center-crop"] as const) {
    expect(await decode(jpeg, { size: 16, resize })).toEqual(await decode(pixels, { size: 16, resize }));
  }
});

describe("RGBA pixels", () => {
  const pixels = { data: new Uint8ClampedArray([255, 0, 0, 255, 0, 255, 0, 128, 0, 0, 255, 0, 9, 9, 9, 255]), width: 2, height: 2 };

  test("of any size need no sharp, nor do JPEG, PNG and GIF; WebP does", async () => {
    jest.resetModules();
    jest.doMock("sharp", () => {
      throw Object.assign(new Error("Cannot find module 'sharp'"), { code: "MODULE_NOT_FOUND" });
    });
    const fresh = jest.requireActual<typeof import("../../lib/images/decode")>("../../lib/images/decode");
    const target: ImageTarget = { ...checkGeometry({ channels: 3, size: 2, resize: "none" }, "target"), signal: undefined };
    const planes = new Uint8Array(12);
    await fresh.decodeImages(takeImages(pixels, "images"), target, planes);
    expect([...planes]).toEqual([255, 0, 0, 9, 0, 128, 0, 9, 0, 0, 0, 9]);
    const one = new Uint8Array(3);
    await fresh.decodeImages(takeImages(pixels, "images"), { ...target, size: 1, resize: "squash" }, one);
    expect([...one]).toEqual([67, 35, 3]); // as Pillow: means across, rounded, then down
    const [png, webp] = ["PNG, RGB", "WebP, lossless"].map((name) =>
      bytes(expected.exact.find((entry) => entry.name === name)?.file as string),
    );
    await fresh.decodeImages(takeImages(png as Buffer, "images"), { ...target, resize: "squash" }, planes);
    const missing = await failureOf(() =>
      fresh.decodeImages(takeImages(webp as Buffer, "images"), { ...target, resize: "squash" }, planes),
    );
    expect(missing).toMatchObject({ code: "ERR_SHARP_NOT_FOUND", message: expect.stringContaining("npm install sharp") });
    jest.dontMock("sharp");
  });

  test("what they must be", async () => {
    const refused = (image: unknown) => libraryFailureOf(() => takeImages(image as Image, "images"));
    expect(await refused({ ...pixels, width: 3 })).toMatchObject({ code: "ERR_SHAPE" });
    expect(await refused({ ...pixels, data: [1, 2, 3, 4] })).toMatchObject({ code: "ERR_DTYPE" });
    expect(await refused({ ...pixels, width: 1e5, height: 1e5 })).toMatchObject({ code: "ERR_RANGE" });
    expect(await refused(new Float32Array(4))).toMatchObject({ code: "ERR_DTYPE" });
    expect(await refused(7)).toMatchObject({ code: "ERR_OPTION" });
  });
});

describe("hostile and missing images", () => {
  const sound = bytes(expected.lossy[0]?.file as string);
  const png = bytes(expected.exact[0]?.file as string);

  /** A PNG of few bytes that claims to be of that many pixels. */
  function claiming(width: number, height: number): Buffer {
    const copy = Buffer.from(png);
    copy.writeUInt32BE(width, 16);
    copy.writeUInt32BE(height, 20);
    copy.writeUInt32BE(crc32(copy.subarray(12, 29)), 29);
    return copy;
  }

  test.each<[string, Buffer]>([
    ["nothing", Buffer.alloc(0)],
    ["garbage", Buffer.from("hello, is it me you are looking for?")],
    ["SVG", Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>')],
    ["half a JPEG", sound.subarray(0, sound.length >> 1)],
    ["half a PNG", png.subarray(0, png.length >> 1)],
    ["a PNG signature alone", png.subarray(0, 8)],
    ["a decompression bomb", claiming(60000, 60000)],
  ])("%s: ERR_CORRUPT_FILE", async (name, data) => {
    const path = directory.put(`${name.replaceAll(" ", "-")}.png`, data);
    for (const image of [data, path]) {
      const error = await libraryFailureOf(() => decode(image, { size: 8, resize: "squash" }));
      expect(error).toMatchObject({ code: "ERR_CORRUPT_FILE", message: expect.stringContaining(image === path ? path : "images") });
    }
  });

  test.each([
    [65536, 1],
    [1, 65536],
    [1000001, 90],
  ])("a side of more than 65,535 pixels is refused before it is decoded: %i×%i", async (width, height) => {
    expect(await libraryFailureOf(() => decode(claiming(width, height), { size: 8, resize: "squash" }))).toMatchObject({
      code: "ERR_CORRUPT_FILE",
      message: expect.stringContaining(`at most 65535 pixels a side, found ${width}×${height}`),
    });
  });

  test("a missing file and a directory: ERR_IO", async () => {
    for (const path of [directory.path("nowhere.png"), join(directory.path("x"), "..")]) {
      expect(await libraryFailureOf(() => decode(path, { size: 8 }))).toMatchObject({ code: "ERR_IO" });
    }
  });

  test('resize "none": another size is ERR_SHAPE; a network of four channels too', async () => {
    expect(await libraryFailureOf(() => decode(png, { size: 8 }))).toMatchObject({ code: "ERR_SHAPE" });
    expect(await libraryFailureOf(() => decode(png, { size: 12, channels: 4 }))).toMatchObject({ code: "ERR_SHAPE" });
  });
});

test.each([2, 3, 4, 5, 6, 7, 8])("orientation %i is sharp's, resized or not", async (orientation) => {
  for (const [width, height, resize] of [
    [5, 5, "none"],
    [40, 23, "center-crop"],
    [23, 40, "squash"],
  ] as const) {
    const pixels = Buffer.from(Array.from({ length: width * height * 3 }, (_, i) => (i * i * 37) % 256));
    const image = sharp(pixels, { raw: { width, height, channels: 3 } });
    const turned = await image.withMetadata({ orientation }).png().toBuffer();
    const upright = await sharp(turned).autoOrient().png().toBuffer();
    for (const channels of [1, 3]) {
      expect(await decode(turned, { size: 5, resize, channels })).toEqual(await decode(upright, { size: 5, resize, channels }));
    }
  }
});

describe("headers", () => {
  const image = sharp(Buffer.alloc(7 * 5 * 3, 99), { raw: { width: 7, height: 5, channels: 3 } });
  const plain: [string, () => Promise<Buffer>][] = [
    ["JPEG", () => image.clone().jpeg().toBuffer()],
    ["JPEG, grey", () => image.clone().greyscale().jpeg().toBuffer()],
    ["PNG", () => image.clone().png().toBuffer()],
    ["PNG, palette", () => image.clone().png({ palette: true }).toBuffer()],
    ["PNG, interlaced", () => image.clone().png({ progressive: true }).toBuffer()],
    ["WebP, lossy", () => image.clone().webp().toBuffer()],
    ["WebP, lossless", () => image.clone().webp({ lossless: true }).toBuffer()],
  ];

  test.each(plain)("%s: size as sharp has it; undefined where it is cut off", async (_, encode) => {
    const file = await encode();
    expect(plainHeader(file)).toEqual({ width: 7, height: 5, orientation: 1, inks: false, inRows: false });
    for (let length = 12; length < 30; length++) expect(plainHeader(Buffer.from(file.subarray(0, length)))).toBeUndefined();
  });

  test.each<[string, () => Promise<Buffer>]>([
    ["JPEG with EXIF data", () => image.clone().withMetadata({ orientation: 6 }).jpeg().toBuffer()],
    ["PNG with EXIF data", () => image.clone().withMetadata({ orientation: 6 }).png().toBuffer()],
    ["WebP with EXIF data", () => image.clone().withMetadata({ orientation: 6 }).webp().toBuffer()],
    ["progressive JPEG", () => image.clone().jpeg({ progressive: true }).toBuffer()],
    ["JPEG of CMYK", () => image.clone().toColourspace("cmyk").jpeg().toBuffer()],
  ])("%s: left to sharp", async (_, encode) => {
    expect(plainHeader(await encode())).toBeUndefined();
  });
});

describe("maxPixels", () => {
  const pattern = Buffer.from(Array.from({ length: 12 * 9 * 3 }, (_, i) => (i * i * 2654435761) % 256));
  /** 12 × 9 squares of one colour, lying on its side. */
  const squares = (side: number) =>
    sharp(pattern, { raw: { width: 12, height: 9, channels: 3 } })
      .resize(12 * side, 9 * side, { kernel: "nearest" })
      .withMetadata({ orientation: 6 });

  test("a baseline JPEG of 108 million pixels is read, turned, in less memory than its pixels take", async () => {
    const jpeg = await squares(1000).jpeg({ quality: 95, chromaSubsampling: "4:4:4" }).toBuffer();
    const before = process.resourceUsage().maxRSS;
    const found = await decode(jpeg, { size: 36, resize: "center-crop" });
    expect(process.resourceUsage().maxRSS - before).toBeLessThan(200 * 1024);
    expect(difference(found, await decode(await squares(12).png().toBuffer(), { size: 36, resize: "center-crop" })).largest).toBeLessThan(
      12,
    );
    expect(await libraryFailureOf(() => decode(jpeg, { size: 36, resize: "squash", maxPixels: 1e8 }))).toMatchObject({
      code: "ERR_CORRUPT_FILE",
      message: expect.stringMatching(/at most 100000000 pixels .*--max-pixels.*found 9000×12000/),
    });
  });

  test("what has to be in memory as a whole is refused above 100 million pixels, and any file above the limit that is asked for", async () => {
    const progressive = await squares(12).jpeg({ progressive: true }).toBuffer();
    const frame = progressive.indexOf(Buffer.from([0xff, 0xc2]));
    progressive.writeUInt16BE(9000, frame + 5);
    progressive.writeUInt16BE(12000, frame + 7);
    const png = await squares(12).png().toBuffer();
    for (const [image, maxPixels] of [
      [progressive, undefined],
      [progressive, 107_999_999],
      [png, 15_551],
    ] as const) {
      // prettier-ignore
      expect(await libraryFailureOf(() => decode(image, { size: 12, resize: "squash", maxPixels }))).toMatchObject({
        code: "ERR_CORRUPT_FILE",
        message: expect.stringContaining(`at most ${maxPixels ?? 100_000_000} pixels`),
      });
    }
    expect(await decode(png, { size: 12, resize: "squash", maxPixels: 15_552 })).toHaveLength(432);
  });

  test("extract and extractStream take it", async () => {
    const model = await tinyNetwork();
    const png = await squares(12).png().toBuffer();
    for (const maxPixels of [0, 1.5, 2 ** 33]) {
      expect(await libraryFailureOf(() => model.extract(png, { maxPixels }))).toMatchObject({
        code: expect.stringMatching(/ERR_(RANGE|OPTION)/),
      });
    }
    expect(await libraryFailureOf(() => model.extract(png, { maxPixels: 100 }))).toMatchObject({ code: "ERR_CORRUPT_FILE" });
    const { skipped } = await model.extractStream([png], () => undefined, { maxPixels: 100, onError: "skip" });
    expect(skipped).toHaveLength(1);
    model.dispose();
  });
});

describe("what is no path", () => {
  const refused = (image: Image) => libraryFailureOf(() => takeImages(image, "images"));

  test("a data: URL, base64 and a file: URL as text say what to do, in a short message", async () => {
    const base64 = Buffer.alloc(4_000_000).toString("base64");
    for (const text of [`data:image/jpeg;base64,${base64}`, base64, "file:///tmp/x.png", "a\0b.png"]) {
      const error = await refused(text);
      expect(error).toMatchObject({ code: "ERR_OPTION" });
      expect((error as Error).message.length).toBeLessThan(300);
    }
    expect(await refused(new URL("https://example.org/x.png"))).toMatchObject({ code: "ERR_OPTION" });
  });
});

describe("images that cannot be decoded", () => {
  const sound = bytes(expected.lossy[0]?.file as string);
  const bad = ["empty.jpg", "page.jpg", "gone.jpg", "half.jpg"].map((name) => directory.path(name));

  beforeAll(() => {
    writeFileSync(bad[0] as string, "");
    writeFileSync(bad[1] as string, "<html>not found</html>");
    writeFileSync(bad[3] as string, sound.subarray(0, sound.length >> 1));
    writeFileSync(directory.path("sound.jpg"), sound);
  });

  test("extract: skipped and told of, the others keep their order", async () => {
    const model = await tinyNetwork();
    const good = directory.path("sound.jpg");
    const other = { data: Uint8ClampedArray.from({ length: 256 }, (_, i) => (i * 37) % 256), width: 8, height: 8 };
    const images = [bad[0], good, bad[1], other, bad[2], bad[3]] as Image[];
    expect(await libraryFailureOf(() => model.extract(images))).toMatchObject({ code: "ERR_CORRUPT_FILE" });
    const told: ImageFailure[] = [];
    const wanted = await model.extract([good, other]);
    expect(wanted.skipped).toEqual([]);
    for (const onError of ["skip", (failure: ImageFailure) => void told.push(failure)] as OnError[]) {
      const { features, logits, skipped } = await model.extract(images, { onError });
      expect(features.toArray()).toEqual(wanted.features.toArray());
      expect(logits.shape).toEqual([2, 3]);
      expect(skipped.map(({ index, path, code }) => [index, path, code])).toEqual([
        [0, bad[0], "ERR_CORRUPT_FILE"],
        [2, bad[1], "ERR_CORRUPT_FILE"],
        [4, bad[2], "ERR_IO"],
        [5, bad[3], "ERR_CORRUPT_FILE"],
      ]);
      expect(skipped[1]?.reason).toContain("3c68746d6c3e");
    }
    expect(told.map(({ index }) => index)).toEqual([0, 2, 4, 5]);
    const none = await model.extract(bad, { onError: "skip" });
    expect([none.features.shape, none.skipped.length]).toEqual([[0, 64], 4]);
    const error = new Error("mine");
    await expect(model.extract(images, { onError: () => Promise.reject(error) })).rejects.toBe(error);
    expect(await libraryFailureOf(() => model.extract(images, { onError: "ignore" as never }))).toMatchObject({ code: "ERR_OPTION" });
    model.dispose();
  });

  test("an onError that never settles can be aborted", async () => {
    const model = await tinyNetwork();
    const calls: ((options: { onError: OnError; signal: AbortSignal }) => Promise<unknown>)[] = [
      (options) => model.extract(bad, options),
      (options) => model.extractStream([bad], () => undefined, options),
    ];
    for (const call of calls) {
      const controller = new AbortController();
      const onError = (): Promise<void> => {
        controller.abort();
        return new Promise(() => undefined);
      };
      expect(await libraryFailureOf(() => call({ onError, signal: controller.signal }))).toMatchObject({ code: "ERR_ABORTED" });
    }
    model.dispose();
  });

  test("bytes whose buffer was transferred are one more image that does not decode", async () => {
    const model = await tinyNetwork();
    const gone = new Uint8Array([1, 2, 3]);
    structuredClone(gone, { transfer: [gone.buffer] });
    const { skipped } = await model.extract([gone, directory.path("sound.jpg")], { onError: "skip" });
    expect(skipped.map(({ index, code }) => [index, code])).toEqual([[0, "ERR_CORRUPT_FILE"]]);
    model.dispose();
  });

  test("extractStream: labels of the kept ones, indices of the stream, what was left out in the result", async () => {
    const model = await tinyNetwork();
    const good = directory.path("sound.jpg");
    const source = [
      { images: [good, bad[0] as string], labels: Int32Array.of(3, 4) },
      { images: [bad[1] as string], labels: Int32Array.of(5) },
      { images: [bad[2] as string, good], labels: Int32Array.of(6, 7) },
    ];
    const told: number[] = [];
    const seen: unknown[] = [];
    const result = await model.extractStream(
      source,
      ({ features, labels, offset, skipped }) =>
        void seen.push([features.shape[0], [...labels], offset, skipped.map(({ index }) => index)]),
      { onError: ({ index }) => void told.push(index) },
    );
    expect(seen).toEqual([
      [1, [3], 0, [1]],
      [0, [], 1, [2]],
      [1, [7], 1, [3]],
    ]);
    expect([result.count, result.skipped.map(({ index }) => index), told]).toEqual([2, [1, 2, 3], [1, 2, 3]]);
    expect(await libraryFailureOf(() => model.extractStream([[good], [bad[0] as string]], () => undefined))).toMatchObject({
      code: "ERR_CORRUPT_FILE",
    });
    model.dispose();
  });
});

describe("through a network", () => {
  test("extract and extractStream take paths, bytes and pixels, taken when the call is made", async () => {
    const model = await tinyNetwork();
    const data = Buffer.from(Array.from({ length: 64 }, (_, i) => (i * 37) % 256));
    const png = await sharp(data, { raw: { width: 8, height: 8, channels: 1 } })
      .png()
      .toBuffer();
    const path = directory.path("eight.png");
    writeFileSync(path, png);
    const wanted = (await model.extract({ data, shape: [1, 1, 8, 8] })).features.toArray();
    const encoded = Buffer.from(png);
    const calls = [path, encoded, [encoded], pathToFileURL(path), new Blob([png]), [new Blob([png])]].map((image) => model.extract(image));
    encoded.fill(0);
    for (const { features } of await Promise.all(calls)) expect(features.toArray()).toEqual(wanted);
    const { features } = await model.extract(Array.from({ length: 20 }, () => path));
    expect(features.shape).toEqual([20, 64]);
    const counts: number[] = [];
    await model.extractStream([path, [path, png]], ({ features: chunk }) => void counts.push(chunk.shape[0] as number));
    expect(counts).toEqual([1, 2]);
    expect(await libraryFailureOf(() => model.extract([path, directory.path("gone.png")]))).toMatchObject({ code: "ERR_IO" });
    expect(await libraryFailureOf(() => model.extract(path, { signal: AbortSignal.abort() }))).toMatchObject({ code: "ERR_ABORTED" });
    expect(await libraryFailureOf(() => model.extract(path, { resize: "crop" as never }))).toMatchObject({ code: "ERR_OPTION" });
    model.dispose();
  });
});
