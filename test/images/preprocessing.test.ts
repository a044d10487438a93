// Pictures become what torchvision's evaluation transforms make of them (test/reference/preprocessing.py), for every preset, by every way in.

import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import sharp from "sharp";
import expected from "../reference/preprocessing.json";
import { Dataset, datasets } from "../../lib";
import { decodeImages } from "../../lib/images/decode";
import { checkGeometry, type ImageGeometry } from "../../lib/images/geometry";
import { takeImages, type Image } from "../../lib/images/image";
import { preprocessings, type PreprocessingName } from "../../lib/data/preprocessing";
import { native } from "../../lib/native/surface";
import { runNative } from "../../lib/native/call";
import { temporaryDirectory } from "../support/temporary-directory";
import { picture } from "./reference-picture";
import { libraryFailureOf, useOneThread } from "../models/resnet/tiny-network";

useOneThread();
const directory = temporaryDirectory();

interface Found {
  readonly sha256: string;
  readonly sample: string;
}

function png(width: number, height: number, channels: number): Promise<Buffer> {
  const raw = { width, height, channels: channels as 3 };
  return sharp(picture(width, height, channels), { raw })
    .png({ compressionLevel: 1 })
    .toBuffer();
}

/** H×W×C, as Pillow has it. */
async function pixelsOf(image: Image, geometry: ImageGeometry): Promise<Buffer> {
  const area = geometry.size ** 2;
  const planes = new Uint8Array(geometry.channels * area);
  await decodeImages(takeImages(image, "images"), { ...geometry, signal: undefined }, planes);
  return interleaved(planes, geometry.channels);
}

function interleaved(planes: Uint8Array, channels: number): Buffer {
  const area = planes.length / channels;
  const pixels = Buffer.alloc(planes.length);
  for (let i = 0, next = 0; i < area; i++) {
    for (let c = 0; c < channels; c++) pixels[next++] = planes[c * area + i] as number;
  }
  return pixels;
}

/** Largest difference in the sample. */
function largest(found: Buffer, { sample }: Found): number {
  const wanted = Buffer.from(sample, "base64");
  expect(wanted).toHaveLength(Math.ceil(found.length / 997));
  return wanted.reduce((most, value, i) => Math.max(most, Math.abs(value - (found[i * 997] as number))), 0);
}

function expectEqual(found: Buffer, wanted: Found): void {
  expect([largest(found, wanted), createHash("sha256").update(found).digest("hex")]).toEqual([0, wanted.sha256]);
}

const names = Object.keys(preprocessings) as PreprocessingName[];
const kinds = ["", "grey", "grey with alpha", "RGB", "RGBA"];
const cases = expected.pictures.map((entry) => ({
  ...entry,
  title: `${entry.width}×${entry.height}, ${kinds[entry.channels]}${entry.grey ? ", as grey" : ""}`,
}));

test.each(cases)("$title: torchvision's pixels, to the last bit", async ({ width, height, channels, grey, results }) => {
  const image = await png(width, height, channels);
  for (const name of names) {
    expectEqual(await pixelsOf(image, { ...preprocessings[name], channels: grey ? 1 : 3 }), results[name]);
  }
});

test.each(expected.jpeg.map((entry, i) => ({ ...entry, i })))(
  "JPEG $i: within a level, which decoders may differ by",
  async ({ file, results }) => {
    for (const name of names) {
      expect(largest(await pixelsOf(Buffer.from(file, "base64"), preprocessings[name]), results[name])).toBeLessThanOrEqual(1);
    }
  },
);

test.each(expected.plain)("$width×$height, $kernel without antialiasing", async ({ width, height, kernel, ...wanted }) => {
  const geometry = checkGeometry({ size: 80, resizeTo: 96, kernel: kernel as "bilinear", antialias: false }, "geometry");
  // libtorch computes in float32, and rounds another way where a pixel lies between two levels.
  expect(largest(await pixelsOf(await png(width, height, 3), geometry), wanted)).toBeLessThanOrEqual(1);
});

test.each(expected.normalized)("$preset: ToTensor and Normalize", async ({ preset, values }) => {
  const { mean, std, size, channels } = preprocessings[preset as PreprocessingName];
  const images = new (native().Tensor)(null, [1, channels, size, size], "uint8");
  await decodeImages(
    takeImages(await png(500, 375, 3), "images"),
    { ...preprocessings[preset as PreprocessingName], signal: undefined },
    images,
  );
  const found = await runNative(undefined, (control) => native().normalizeImages(control, images, { start: 0, end: 1, mean, std }));
  const sampled = (found.toTypedArray() as Float32Array).filter((_, i) => i % 9973 === 0);
  expect(sampled).toHaveLength(values.length);
  values.forEach((value, i) => expect(sampled[i]).toBeCloseTo(value, 6));
});

describe("data sets of a preprocessing", () => {
  const [width, height] = [150, 113];
  const { results } = expected.pictures.find((entry) => entry.width === width && entry.height === height) as (typeof expected.pictures)[0];

  test("imageFolder: torchvision's pixels, the normalization, and what the set says of its resize", async () => {
    const root = directory.path("pets");
    mkdirSync(`${root}/cat`, { recursive: true });
    await sharp(await png(width, height, 3)).toFile(`${root}/cat/0.png`);
    const cache = directory.path("cache");
    for (const preprocessing of [...names, { ...preprocessings.clip, resize: "squash" as const }]) {
      for (const again of [false, true]) {
        let decoded = 0;
        const data = await datasets.imageFolder(root, { preprocessing, cache, onProgress: ({ done }) => void (decoded = done) });
        const { mean, std } = typeof preprocessing === "string" ? preprocessings[preprocessing] : preprocessing;
        expect([decoded, data.normalization]).toEqual([1, { mean, std }]);
        if (typeof preprocessing !== "string") continue;
        expectEqual(interleaved(data.image(0), 3), results[preprocessing]);
        const kernel = preprocessing === "imagenet" || preprocessing === "cifar10" ? "antialiased-bilinear" : "antialiased-bicubic";
        const resizeTo = preprocessing.startsWith("imagenet") ? { resizeTo: 256 } : {};
        expect([again, data.resize]).toEqual([again, { mode: "center-crop", kernel, ...resizeTo }]);
      }
    }
  });

  test("conform: as from files; what has the form is itself, with the normalization", async () => {
    const interleavedPixels = picture(width, height, 3);
    const area = width * height;
    const images = Uint8Array.from(interleavedPixels, (_, i) => interleavedPixels[(i % area) * 3 + Math.floor(i / area)] as number);
    const data = Dataset.fromArrays({ images, labels: [0], shape: [3, height, width] });
    for (const preprocessing of names) {
      const made = await datasets.conform(data, { preprocessing });
      expectEqual(interleaved(made.image(0), 3), results[preprocessing]);
      expect(made.normalization).toEqual({ mean: preprocessings[preprocessing].mean, std: preprocessings[preprocessing].std });
      const again = await datasets.conform(made.withNormalization(undefined), { preprocessing });
      expect(again.normalization).toEqual(made.normalization);
      expect(again.images).toBe(made.images);
    }
  });

  test("either a preprocessing or what it states", async () => {
    const data = Dataset.fromArrays({ images: new Uint8Array(3), labels: [0], shape: [3, 1, 1] });
    for (const beside of [{ imageSize: 8 }, { channels: 3 as const }, { resize: "squash" as const }]) {
      const failures = [
        await libraryFailureOf(() => datasets.conform(data, { preprocessing: "clip", ...beside })),
        await libraryFailureOf(() => datasets.imageFolder(directory.path("none"), { preprocessing: "clip", ...beside })),
      ];
      for (const failure of failures)
        expect(failure).toMatchObject({ code: "ERR_OPTION", message: expect.stringContaining("preprocessing") as string });
    }
    expect(await libraryFailureOf(() => datasets.conform(data, {}))).toMatchObject({ code: "ERR_OPTION", message: /^channels/ });
    expect(await libraryFailureOf(() => datasets.conform(data, { preprocessing: "imagnet" as "imagenet" }))).toMatchObject({
      code: "ERR_OPTION",
    });
  });
});
