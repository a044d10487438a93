// The cache of decoded images: hit where nothing changed, made anew where a file, an option or the cache itself is not what it was.

import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { imageFolder, type DecodingProgress, type ImageFolderOptions } from "../../lib/data";
import { decodedCache } from "../../lib/data/decoded-cache";
import { openSafetensors, serializeSafetensors } from "../../lib/formats/safetensors";
import { temporaryDirectory } from "../support/temporary-directory";

const directory = temporaryDirectory();
const cache = directory.path("cache");
const root = directory.path("images");
const counts = { a: 3, b: 2 };
const total = 5;

async function image(path: string, level: number): Promise<void> {
  const pixels = Buffer.alloc(48 * 48 * 3, level);
  writeFileSync(
    path,
    await sharp(pixels, { raw: { width: 48, height: 48, channels: 3 } })
      .png()
      .toBuffer(),
  );
}

beforeEach(async () => {
  rmSync(cache, { recursive: true, force: true });
  rmSync(root, { recursive: true, force: true });
  for (const [name, count] of Object.entries(counts)) {
    mkdirSync(join(root, name), { recursive: true });
    for (let i = 0; i < count; i++) await image(join(root, name, `${i}.png`), 10 * i + name.charCodeAt(0));
  }
});

/** Whether the images came from the cache: then progress is told once. */
async function read(options: ImageFolderOptions = {}): Promise<{ cached: boolean; levels: number[]; labels: number[] }> {
  const seen: DecodingProgress[] = [];
  const data = await imageFolder(root, { imageSize: 16, cache, onProgress: (progress) => void seen.push(progress), ...options });
  expect(seen.at(-1)).toEqual({ done: data.length, total: data.length });
  const levels = Array.from({ length: data.length }, (_, i) => data.image(i)[0] as number);
  levels.forEach((level, i) => expect(data.image(i).every((value) => value === level)).toBe(true));
  return { cached: seen.length === 1, levels, labels: Array.from(data.labels) };
}

const fresh = { cached: false, levels: [97, 107, 117, 98, 108], labels: [0, 0, 0, 1, 1] };
const cachePath = (): string => {
  const names = readdirSync(cache);
  expect(names).toHaveLength(1);
  return join(cache, names[0] as string);
};

test("the second time nothing is decoded: not even sharp is asked, and the result is the same", async () => {
  expect(await read()).toEqual(fresh);
  // Damage that neither size nor time shows would be seen by a decoder.
  const path = join(root, "a/0.png");
  const { length } = readFileSync(path);
  const time = new Date(1e12);
  utimesSync(path, time, time);
  await read();
  writeFileSync(path, Buffer.alloc(length));
  utimesSync(path, time, time);
  expect(await read()).toEqual({ ...fresh, cached: true });
});

test("it is a safetensors file with the pixels in order", async () => {
  await read();
  const file = await openSafetensors(cachePath());
  expect([...file.tensors.keys()]).toEqual(["images"]);
  expect(file.tensors.get("images")).toMatchObject({ dtype: "U8", shape: [total, 3, 16, 16] });
  expect((await file.read("images"))[3 * 16 * 16]).toBe(107);
  await file.close();
});

describe("stale", () => {
  test.each<[string, () => void | Promise<void>, number[], number[]]>([
    ["an image of another content and time", () => image(join(root, "b/1.png"), 200), [97, 107, 117, 98, 200], fresh.labels],
    ["a new image", () => image(join(root, "a/9.png"), 50), [97, 107, 117, 50, 98, 108], [0, 0, 0, 0, 1, 1]],
    ["an image less", () => rmSync(join(root, "a/1.png")), [97, 117, 98, 108], [0, 0, 1, 1]],
    ["an image of another name", () => renameSync(join(root, "a/0.png"), join(root, "a/7.png")), [107, 117, 97, 98, 108], fresh.labels],
    ["an image in another class", () => renameSync(join(root, "a/2.png"), join(root, "b/2.png")), [97, 107, 98, 108, 117], [0, 0, 1, 1, 1]],
    ["only another time", () => utimesSync(join(root, "a/0.png"), new Date(), new Date(2e12)), fresh.levels, fresh.labels],
  ])("%s", async (_, change, levels, labels) => {
    await read();
    await change();
    expect(await read()).toEqual({ cached: false, levels, labels });
    expect(await read()).toEqual({ cached: true, levels, labels });
    cachePath(); // the stale one was replaced
  });

  test("a class of another name: labels are not cached, names of files are", async () => {
    await read();
    renameSync(join(root, "b"), join(root, "0"));
    expect(await read()).toEqual({ cached: false, levels: [98, 108, 97, 107, 117], labels: [0, 0, 1, 1, 1] });
  });

  test("pixels of another kernel, as of another version of the library, are not taken for those of this one (trap 7)", async () => {
    await read();
    jest.resetModules();
    const geometry = jest.requireActual<typeof import("../../lib/images/geometry")>("../../lib/images/geometry");
    const checkGeometry = (...given: Parameters<typeof geometry.checkGeometry>) => ({ ...geometry.checkGeometry(...given), kernel: "bicubic" });
    jest.doMock("../../lib/images/geometry", () => ({ ...geometry, checkGeometry }));
    const other = jest.requireActual<typeof import("../../lib/data")>("../../lib/data");
    jest.dontMock("../../lib/images/geometry");
    const seen: DecodingProgress[] = [];
    const onProgress = (progress: DecodingProgress) => void seen.push(progress);
    expect((await other.imageFolder(root, { imageSize: 16, cache, onProgress })).resize?.kernel).toBe("antialiased-bicubic");
    expect(seen).toHaveLength(total);
    expect(await read()).toEqual({ ...fresh, cached: true });
  });

  test("the key says of which version, options and files the pixels are", async () => {
    const sources = [
      { name: "a/0.png", size: 5n, modified: 7n },
      { name: "b/1.png", size: 6n, modified: 8n },
    ];
    const { key, path } = await decodedCache(cache, root, "options", sources);
    const text = ['["decoded",3,"options"]', '"a/0.png" 5 7', '"b/1.png" 6 8'].join("\n");
    expect(key).toBe(createHash("sha256").update(text).digest("hex"));
    expect(path).not.toBe((await decodedCache(cache, root, "others", sources)).path);
  });

  test("folders of one name and files alike, but for their place, have a file each", async () => {
    const other = directory.path("elsewhere/images");
    rmSync(other, { recursive: true, force: true });
    mkdirSync(directory.path("elsewhere"), { recursive: true });
    cpSync(root, other, { recursive: true, preserveTimestamps: true });
    await read();
    await imageFolder(other, { imageSize: 16, cache });
    expect(readdirSync(cache)).toHaveLength(2);
    expect(await read()).toEqual({ ...fresh, cached: true });
  });

  test("other options have a file of their own", async () => {
    for (const options of [{}, { imageSize: 8 }, { channels: 1 as const }, { resize: "squash" as const }]) {
      expect((await read(options)).cached).toBe(false);
    }
    expect(readdirSync(cache)).toHaveLength(4);
    expect((await read({ imageSize: 8 })).cached).toBe(true);
  });
});

describe("damaged: made anew, and sound afterwards", () => {
  const tensor = (bytes: Uint8Array, shape = [total, 3, 16, 16], metadata = {}) =>
    serializeSafetensors([{ name: "images", dtype: "U8", shape, data: bytes }], { metadata });

  test.each<[string, (path: string) => void | Promise<void>]>([
    ["cut off", (path) => truncateSync(path, 1000)],
    ["empty", (path) => truncateSync(path, 0)],
    ["something else", (path) => writeFileSync(path, "hello")],
    ["a directory", (path) => (rmSync(path), mkdirSync(path))],
    ["without a key", (path) => writeFileSync(path, tensor(new Uint8Array(total * 768)))],
    [
      "of another shape",
      async (path) => {
        const file = await openSafetensors(path);
        const pixels = await file.read("images");
        await file.close();
        writeFileSync(path, tensor(pixels, [total, 3, 8, 32], Object.fromEntries(file.metadata)));
      },
    ],
  ])("%s", async (name, damage) => {
    await read();
    await damage(cachePath());
    if (name === "a directory") {
      // What cannot be replaced is an error where the caller named the folder, and the images are given where not.
      await expect(read()).rejects.toMatchObject({ code: "ERR_IO" });
      return;
    }
    expect(await read()).toEqual(fresh);
    expect(await read()).toEqual({ ...fresh, cached: true });
  });

  test("any one byte", async () => {
    await read();
    const path = cachePath();
    const whole = readFileSync(path);
    for (let at = 3; at < whole.length; at += 97) {
      const copy = Buffer.from(whole);
      copy[at] = (copy[at] as number) ^ 0x10;
      writeFileSync(path, copy);
      expect(await read()).toMatchObject({ levels: fresh.levels, labels: fresh.labels });
    }
  });
});

test("a folder that cannot be written: an error where it was named, none where it is the library's own", async () => {
  const blocked = directory.put("file", "");
  await expect(read({ cache: join(blocked, "cache") })).rejects.toMatchObject({ code: "ERR_IO" });
  const before = process.env.LIBTORCH_OOD_CACHE;
  try {
    process.env.LIBTORCH_OOD_CACHE = blocked;
    expect(await read({ cache: true })).toEqual(fresh);
    process.env.LIBTORCH_OOD_CACHE = "/proc/libtorch-ood"; // where Node's recursive mkdir does not end
    expect(await read({ cache: true })).toEqual(fresh);
    process.env.LIBTORCH_OOD_CACHE = directory.path("own");
    expect(await read({ cache: true })).toEqual(fresh);
    expect(await read({ cache: true })).toEqual({ ...fresh, cached: true });
    expect(readdirSync(directory.path("own/decoded"))).toHaveLength(1);
    expect((await read({ cache: false })).cached).toBe(false);
  } finally {
    if (before === undefined) delete process.env.LIBTORCH_OOD_CACHE;
    else process.env.LIBTORCH_OOD_CACHE = before;
  }
});

test("several at once", async () => {
  const results = await Promise.all(Array.from({ length: 6 }, () => read()));
  for (const { levels } of results) expect(levels).toEqual(fresh.levels);
  expect(await read()).toEqual({ ...fresh, cached: true });
});

test("an abort leaves no cache behind", async () => {
  const controller = new AbortController();
  await expect(read({ signal: controller.signal, onProgress: () => controller.abort() })).rejects.toMatchObject({ code: "ERR_ABORTED" });
  expect(() => readdirSync(cache)).toThrow("ENOENT");
});
