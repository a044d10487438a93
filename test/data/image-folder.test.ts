// A folder of images per class: order and labels as torchvision's, pixels as Pillow's (test/reference/datasets_images.py), and nothing done in silence.

import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { ImageFailure } from "../../lib";
import { imageFolder, type DecodingProgress, type ImageFolderOptions } from "../../lib/data";
import expected from "../reference/datasets_images.json";
import { temporaryDirectory } from "../support/temporary-directory";
import { countBeyond, largestGap, meanGap, planesOf } from "./pixel-gaps";

const directory = temporaryDirectory();
const { samples, classNames, size } = expected.folder;
const sound = Buffer.from(samples[0]?.file as string, "base64");

function folder(name: string, files: Record<string, Uint8Array | string>): string {
  for (const [file, content] of Object.entries(files)) {
    const path = join(directory.path(name), file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }
  return directory.path(name);
}

const all = Object.fromEntries(samples.map(({ name, file }) => [name, Buffer.from(file, "base64")]));
const root = folder("all", all);
const read = (path: string, options?: ImageFolderOptions) => imageFolder(path, { cache: false, ...options });

const codeOf = (path: string, options?: ImageFolderOptions) =>
  read(path, options).then(
    () => "none",
    (error: { code: string; message: string }) => `${error.code} ${error.message}`,
  );

test("classes, labels and order are torchvision's, at any depth and by code points", async () => {
  const data = await read(root);
  expect(data.classNames).toEqual(classNames);
  expect(Array.from(data.labels)).toEqual(samples.map(({ label }) => label));
  expect(data).toMatchObject({ name: "all", length: samples.length, shape: [3, 32, 32], normalization: undefined });
  expect(data.resize).toEqual({ mode: "center-crop", kernel: "antialiased-bilinear" });
  expect((await read(root, { imageSize: 8, resize: "squash" })).resize).toEqual({ mode: "squash", kernel: "antialiased-bilinear" });
});

// Why the pixels differ at all is told in test/images/decode.test.ts, whose bound for single values is 8. Here, where both sides are reduced by odd ratios,
// 4 of 41,472 values lie beyond it, 11 at most and one an image; the mean, which aliasing would raise to 15, was 0.36 at most.
test.each(["squash", "center-crop"] as const)("pixels are Pillow's antialiased ones, image by image, %s", async (resize) => {
  const data = await read(root, { imageSize: size, resize });
  samples.forEach((sample, i) => {
    const wanted = planesOf(Buffer.from(resize === "squash" ? sample.squash : sample.centerCrop, "base64"));
    expect(largestGap(data.image(i), wanted)).toBeLessThanOrEqual(11);
    expect(countBeyond(8, data.image(i), wanted)).toBeLessThanOrEqual(1);
    expect(meanGap(data.image(i), wanted)).toBeLessThan(0.4);
  });
});

test("grey images for a network of one channel", async () => {
  const data = await read(root, { imageSize: size, channels: 1, resize: "squash" });
  expect(data.shape).toEqual([1, size, size]);
  const [red, green, blue] = [0, 1, 2].map((plane) =>
    planesOf(Buffer.from(samples[0]?.squash as string, "base64")).subarray(plane * size ** 2),
  );
  const luma = Uint8Array.from(data.image(0), (_, i) =>
    Math.round(0.299 * (red?.[i] ?? 0) + 0.587 * (green?.[i] ?? 0) + 0.114 * (blue?.[i] ?? 0)),
  );
  expect(largestGap(data.image(0), luma)).toBeLessThanOrEqual(8);
});

test("other files are passed over; links are followed", async () => {
  const path = folder("extra", { "a/1.png": sound, "a/notes.txt": "x", "a/.DS_Store": "x", "readme.md": "x", "1.png": "not in a class" });
  symlinkSync(directory.path("all/cat"), join(path, "linked"));
  symlinkSync(directory.path("nowhere"), join(path, "a/broken"));
  const data = await read(path, { imageSize: 8 });
  expect(data.classNames).toEqual(["a", "linked"]);
  expect(data.length).toBe(1 + samples.filter(({ name }) => name.startsWith("cat/")).length);
});

test("names with a leading dot are passed over, files and folders; a folder that two links of a class lead to counts once", async () => {
  const apple = Buffer.concat([Buffer.from([0, 5, 22, 7]), Buffer.alloc(60)]);
  const path = folder("mac", { "a/1.png": sound, "a/._1.png": apple, "a/.trash/2.png": apple, ".cache/3.png": apple, "b/2.jfif": sound });
  mkdirSync(directory.path("shared"));
  writeFileSync(join(directory.path("shared"), "4.png"), sound);
  for (const link of ["x", "y"]) symlinkSync(directory.path("shared"), join(path, "b", link));
  const data = await read(path, { imageSize: 8 });
  expect([data.classNames, Array.from(data.labels)]).toEqual([
    ["a", "b"],
    [0, 1, 1],
  ]);
});

describe("onError", () => {
  const html = "<html>";
  const files = { "a/0.png": html, "a/1.png": sound, "b/2.jpg": sound, "b/3.bmp": "BM", "b/4.jpg": "" };

  test("images that cannot be decoded are left out, those of other formats too; nothing of it is cached", async () => {
    const path = folder("spoilt", files);
    symlinkSync(directory.path("nowhere"), join(path, "b/5.jpg"));
    const cache = directory.path("spoilt-cache");
    expect(await codeOf(path)).toMatch(/0\.png: expected a PNG|3\.bmp: expected a PNG/);
    const told: ImageFailure[] = [];
    const only = await read(folder("unspoilt", { "a/1.png": sound, "b/2.jpg": sound }), { imageSize: 8 });
    for (let again = 0; again < 2; again++) {
      const data = await read(path, { imageSize: 8, cache, onError: (failure) => void told.push(failure) });
      expect([data.images, Array.from(data.labels)]).toEqual([only.images, [0, 1]]);
    }
    expect(told.map(({ path: image, code }) => [basename(image), code]).slice(0, 4)).toEqual([
      ["0.png", "ERR_CORRUPT_FILE"],
      ["4.jpg", "ERR_CORRUPT_FILE"],
      ["5.jpg", "ERR_IO"],
      ["3.bmp", "ERR_CORRUPT_FILE"],
    ]);
    expect(told).toHaveLength(8);
    rmSync(join(path, "b/3.bmp"));
    expect(await codeOf(path, { cache })).toMatch(/0\.png: expected a PNG|5\.jpg: ENOENT/);
  });

  test("a class of which nothing can be decoded is an error", async () => {
    const path = folder("dead class", { "a/1.png": sound, "b/2.png": html, "b/3.png": html });
    expect(await codeOf(path, { onError: "skip" })).toMatch(/ERR_CORRUPT_FILE class b: expected an image that can be decoded, found 2/);
    expect(await codeOf(path, { onError: 7 as never })).toContain("ERR_OPTION");
  });
});

test("progress rises to the number of images; a callback that fails ends the call with its error", async () => {
  const seen: DecodingProgress[] = [];
  await read(root, { imageSize: 8, onProgress: (progress) => void seen.push(progress) });
  expect(seen).toEqual(samples.map((_, i) => ({ done: i + 1, total: samples.length })));
  const error = new Error("mine");
  await expect(
    read(root, {
      onProgress: () => {
        throw error;
      },
    }),
  ).rejects.toBe(error);
  await expect(read(root, { onProgress: () => Promise.reject(error) })).rejects.toBe(error);
});

test("an abort before, and one in the middle", async () => {
  expect(await codeOf(root, { signal: AbortSignal.abort() })).toContain("ERR_ABORTED");
  const controller = new AbortController();
  const seen: number[] = [];
  const onProgress = ({ done }: DecodingProgress) => {
    seen.push(done);
    controller.abort(new Error("enough"));
  };
  const error = (await read(root, { signal: controller.signal, onProgress }).catch((reason: unknown) => reason)) as Error;
  expect(error).toMatchObject({ code: "ERR_ABORTED", cause: { message: "enough" } });
  expect(seen.length).toBeLessThan(6);
});

describe("what is refused", () => {
  test.each<[string, Record<string, Uint8Array | string>, string]>([
    ["no class folders", { "1.png": sound }, "ERR_IO cannot find a folder per class in"],
    [
      "a class without images",
      { "a/1.png": sound, "b/notes.txt": "" },
      "b: expected at least one PNG, JPEG, WebP, GIF, TIFF or AVIF image of the class, found none",
    ],
    [
      "an image that torchvision would take and sharp may not",
      { "a/1.png": sound, "a/b/2.HEIC": "" },
      "2.HEIC: expected a PNG, JPEG, WebP, GIF, TIFF or AVIF image, found the ending .heic",
    ],
    [
      "an image that is none",
      { "a/1.png": sound, "a/2.jpg": "hello" },
      "2.jpg: expected a PNG, JPEG, WebP, GIF, TIFF or AVIF image, found bytes that begin 68656c6c6f",
    ],
    ["half an image", { "a/1.png": sound.subarray(0, sound.length >> 1) }, "1.png: expected a sound image"],
  ])("%s", async (name, files, message) => {
    expect(await codeOf(folder(name, files))).toContain(message);
  });

  test("a folder that links to itself, and one that is not there", async () => {
    const path = folder("loop", { "a/1.png": sound });
    symlinkSync(join(path, "a"), join(path, "a/again"));
    expect(await codeOf(path)).toContain("ERR_IO cannot read");
    expect(await codeOf(directory.path("absent"))).toContain("ERR_IO cannot read");
    rmSync(join(path, "a/again"));
    expect(await codeOf(path)).toBe("none");
  });

  test("more pixels than maxPixels, also where they are in the cache", async () => {
    const path = folder("large", { "a/1.png": sound });
    expect(await codeOf(path)).toBe("none");
    expect(await codeOf(path, { maxPixels: 3 })).toContain("1.png: expected an image of at most 3 pixels");
  });

  test('another size with resize "none"', async () => {
    expect(await codeOf(root, { resize: "none" })).toContain("ERR_SHAPE");
  });

  test.each<[object, string]>([
    [{ size: 32 }, "ERR_OPTION"],
    [{ imageSize: 0 }, "ERR_RANGE"],
    [{ imageSize: "32" }, "ERR_OPTION"],
    [{ channels: 4 }, "ERR_OPTION"],
    [{ resize: "crop" }, "ERR_OPTION"],
    [{ onProgress: 3 }, "ERR_OPTION"],
    [{ signal: {} }, "ERR_OPTION"],
    [{ cache: 1 }, "ERR_OPTION"],
    [{ cache: "" }, "ERR_OPTION"],
    [{ maxPixels: 0 }, "ERR_RANGE"],
  ])("options %j", async (options, code) => {
    expect(await codeOf(root, options as ImageFolderOptions)).toContain(code);
  });
});
