// Data sets of another form: what their images become is what the same pictures become that are read from files.

import { mkdirSync } from "node:fs";
import sharp from "sharp";
import { Dataset, datasets } from "../../lib";
import { conform } from "../../lib/data/conform";
import type { ImageResize } from "../../lib/images/geometry";
import { temporaryDirectory } from "../support/temporary-directory";
import { libraryFailureOf } from "../models/resnet/tiny-network";

const directory = temporaryDirectory();
const forms = [
  { shape: [1, 28, 28], channels: 3, imageSize: 32, resize: "center-crop" },
  { shape: [3, 32, 32], channels: 1, imageSize: 28, resize: "center-crop" },
  { shape: [3, 20, 30], channels: 3, imageSize: 16, resize: "squash" },
  { shape: [3, 20, 30], channels: 1, imageSize: 24, resize: "center-crop" },
  { shape: [1, 16, 16], channels: 3, imageSize: 16, resize: "none" },
] as const;

function someImages([channels, height, width]: readonly [number, number, number]): Dataset {
  const area = height * width;
  const images = Uint8Array.from({ length: 4 * channels * area }, (_, i) => (i * i * 7 + (i >> 3) * 13) % 256);
  const labels = [1, 0, 2, 1];
  return Dataset.fromArrays({ images, labels, shape: [channels, height, width], classNames: ["a", "b", "c"], name: "some" });
}

test.each(forms)("$shape becomes $channels×$imageSize×$imageSize as from files, by $resize", async ({ shape, ...form }) => {
  const data = someImages(shape);
  const root = directory.path(JSON.stringify([shape, form]));
  const [channels, height, width] = shape;
  for (let i = 0; i < data.length; i++) {
    // One class an image, so that the folder has them in the same order.
    mkdirSync(`${root}/${i}`, { recursive: true });
    const planes = data.image(i);
    const area = height * width;
    const pixels = Buffer.from(
      Array.from({ length: planes.length }, (_, at) => planes[(at % channels) * area + Math.floor(at / channels)] as number),
    );
    await sharp(pixels, { raw: { width, height, channels } }).png().toFile(`${root}/${i}/image.png`);
  }
  const { imageSize, resize } = form;
  const fromFiles = await datasets.imageFolder(root, { imageSize, channels: form.channels, resize, cache: false });
  const made = await conform(data, form);
  expect(made.images).toEqual(fromFiles.images);
  expect([made.name, made.classNames, Array.from(made.labels), made.shape]).toEqual(["some", ["a", "b", "c"], [1, 0, 2, 1], [form.channels, imageSize, imageSize]]); // prettier-ignore
  expect(made.resize).toEqual(resize === "none" ? undefined : { mode: resize, kernel: "antialiased-bilinear" });
});

test("a data set that has the form is itself; what cannot be made is named", async () => {
  const data = someImages([1, 8, 8]);
  expect(await conform(data, { channels: 1, imageSize: 8 })).toBe(data);
  const failure = async (shape: readonly [number, number, number], form: { channels: number; imageSize: number; resize?: ImageResize }) =>
    libraryFailureOf(() => conform(someImages(shape), form));
  expect(await failure([2, 8, 8], { channels: 3, imageSize: 8 })).toMatchObject({
    code: "ERR_SHAPE",
    message: expect.stringMatching(/^some: expected images of 8×8×3, found 8×8×2/),
  });
  expect(await failure([1, 8, 8], { channels: 4, imageSize: 8 })).toMatchObject({ code: "ERR_SHAPE" });
  expect(await failure([1, 8, 8], { channels: 1, imageSize: 9, resize: "none" })).toMatchObject({
    code: "ERR_SHAPE",
    message: expect.stringContaining("some[0]"),
  });
  const stop = AbortSignal.abort();
  await expect(conform(data, { channels: 1, imageSize: 4, signal: stop })).rejects.toMatchObject({ code: "ERR_ABORTED" });
});

test("a set that was made so already is not cropped again", async () => {
  const images = Uint8Array.from({ length: 2 * 3 * 12 * 10 }, (_, i) => (i * 37) % 256);
  const data = Dataset.fromArrays({ images, labels: new Int32Array(2), shape: [3, 12, 10] });
  const preprocessing = { size: 8, resizeTo: 10, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };
  const once = await conform(data, { preprocessing });
  const twice = await conform(once, { preprocessing });
  expect([twice.images, twice.resize]).toEqual([once.images, once.resize]);
  expect(once.resize).toMatchObject({ resizeTo: 10 });
  const smaller = await conform(once, { preprocessing: { ...preprocessing, resizeTo: 9 } });
  expect(smaller.images).not.toEqual(once.images);
});
