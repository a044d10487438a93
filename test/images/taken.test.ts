// What a call takes of its images when it is made, and images that cannot be read at all.

import { copyFileSync, mkdirSync, openAsBlob } from "node:fs";
import { appendFile, readFile } from "node:fs/promises";
import { setImmediate as turn } from "node:timers/promises";
import sharp from "sharp";
import { datasets, Detector, type Image, type ImageFailure } from "../../lib";
import { checkGeometry } from "../../lib/images/geometry";
import { takeImages } from "../../lib/images/image";
import { imagesTensor } from "../../lib/models/images";
import { temporaryDirectory } from "../support/temporary-directory";
import { libraryFailureOf, tinyData, tinyNetwork, useOneThread } from "../models/resnet/tiny-network";

useOneThread();
const directory = temporaryDirectory();
const start = process.cwd();
afterEach(() => process.chdir(start));

/** One grey level all over. */
async function plain(name: string, level: number): Promise<string> {
  const path = directory.path(name);
  await sharp({ create: { width: 16, height: 16, channels: 3, background: { r: level, g: level, b: level } } }).toFile(path);
  return path;
}

test("relative paths name what they named when the call was made, whatever the working folder becomes", async () => {
  for (const folder of ["here/a", "here/b", "there/a", "there/b"]) mkdirSync(directory.path(folder), { recursive: true });
  const dark = await plain("here/a/x.png", 10);
  const light = await plain("there/a/x.png", 200);
  for (const path of [dark, light]) {
    for (let i = 0; i < 12; i++) copyFileSync(path, path.replace("/a/x", `/b/${i}`));
  }
  const model = await tinyNetwork();
  const wanted = (await model.extract(Array<string>(12).fill(dark))).features.toArray();
  const calls: (() => Promise<ArrayLike<number | bigint>>)[] = [
    async () => (await model.extract(Array<string>(12).fill("a/x.png"))).features.toArray(),
    async () => {
      let found: ArrayLike<number | bigint> = [];
      const late = (async function* () {
        while (!process.cwd().endsWith("there")) await turn();
        yield Array<string>(12).fill("a/x.png");
      })();
      await model.extractStream(late, ({ features }) => void (found = features.toArray()));
      return found;
    },
  ];
  for (const call of calls) {
    process.chdir(directory.path("here"));
    const found = call();
    setTimeout(() => process.chdir(directory.path("there")), 2);
    expect(await found).toEqual(wanted);
  }
  process.chdir(directory.path("here"));
  const set = datasets.imageFolder(".", { cache: false, imageSize: 8, onProgress: () => process.chdir(directory.path("there")) });
  expect([...new Set((await set).images)]).toEqual([10]);
  process.chdir(directory.path("here"));
  const listed = datasets.imageFolder("../here", { cache: false, imageSize: 8 });
  process.chdir(directory.path("there/a"));
  expect([...new Set((await listed).images)]).toEqual([10]);
  model.dispose();
});

test("a missing image of a relative path is called as the caller calls it", async () => {
  const model = await tinyNetwork();
  const { message } = await libraryFailureOf(() => model.extract("no/such.png"));
  expect(message).toMatch(/^cannot open no\/such\.png: ENOENT/);
  model.dispose();
});

test("a list with a hole", async () => {
  const model = await tinyNetwork();
  const images = ["a.png", "b.png", "c.png"];
  delete images[1];
  expect(await libraryFailureOf(() => model.extract(images))).toMatchObject({ code: "ERR_OPTION", message: /^images\[1\]: .*undefined$/ });
  model.dispose();
});

test("many small images share their memory, and are copies", async () => {
  const images = Array.from({ length: 1000 }, (_, i) => ({ data: new Uint8ClampedArray(256).fill(i), width: 8, height: 8 }));
  const taken = takeImages(images, "images") as { pixels: Uint8Array }[];
  for (const { data } of images) data.fill(255);
  expect(taken.map(({ pixels }, i) => pixels.length === 256 && pixels.every((value) => value === Math.min(i, 255)))).not.toContain(false);
  expect(new Set(taken.map(({ pixels }) => pixels.buffer)).size).toBe(1);
});

describe("a Blob that cannot be read", () => {
  test("is an image that cannot be read: ERR_IO, and the others go on", async () => {
    const model = await tinyNetwork();
    const sound = await plain("sound.png", 100);
    const changed = directory.path("changed.png");
    copyFileSync(sound, changed);
    const file = await openAsBlob(changed);
    await appendFile(changed, "more");
    class Refused extends Blob {
      override arrayBuffer(): Promise<ArrayBuffer> {
        throw new Error("mine");
      }
    }
    class Odd extends Blob {
      override arrayBuffer(): Promise<ArrayBuffer> {
        return Promise.resolve(undefined as never);
      }
    }
    for (const blob of [file, new Refused(["x"]), new Odd(["x"])]) {
      expect(await libraryFailureOf(() => model.extract([sound, blob]))).toMatchObject({
        code: "ERR_IO",
        message: /^cannot read images\[1\]: /,
      });
      const { features, skipped } = await model.extract([blob, sound], { onError: "skip" });
      expect([features.shape[0], skipped.map(({ index, path, code }) => [index, path, code])]).toEqual([1, [[0, "images[0]", "ERR_IO"]]]);
    }
    model.dispose();
  });

  test("one that never answers can be aborted", async () => {
    const model = await tinyNetwork();
    class Silent extends Blob {
      override arrayBuffer(): Promise<ArrayBuffer> {
        return new Promise(() => undefined);
      }
    }
    const failure = await libraryFailureOf(() => model.extract(new Silent(["x"]), { signal: AbortSignal.timeout(20) }));
    expect(failure).toMatchObject({ code: "ERR_ABORTED" });
    model.dispose();
  });
});

test("images that are left out of many: the event loop turns while the others move up", async () => {
  const size = 32;
  const count = 2400;
  const pixels = (level: number): Image => ({ data: new Uint8ClampedArray(4 * size * size).fill(level), width: size, height: size });
  const images = Array.from({ length: count }, (_, i) => (i % 3 === 1 ? new Uint8Array([i]) : pixels(i % 200)));
  let told = 0;
  let turns = 0;
  const onError = (): void => {
    if (++told < count / 3) return;
    const turn = (): void => {
      turns++;
      counting = setImmediate(turn);
    };
    turn();
  };
  let counting: NodeJS.Immediate | undefined;
  const target = { ...checkGeometry({ channels: 3, size, resize: "none" }, "target"), signal: undefined };
  const { tensor, skipped } = await imagesTensor(images, "images", target, onError);
  clearImmediate(counting);
  expect([tensor.shape[0], skipped.length]).toEqual([(2 * count) / 3, count / 3]);
  const rows = tensor.toTypedArray() as Uint8Array;
  const length = 3 * size * size;
  const kept = images.flatMap((image, i) => (image instanceof Uint8Array ? [] : [Math.round(((i % 200) * (i % 200)) / 255)]));
  // Alpha is the level too: flattened onto black.
  expect(kept.findIndex((level, row) => rows[row * length] !== level || rows[(row + 1) * length - 1] !== level)).toBe(-1);
  expect(turns).toBeGreaterThan(4);
  tensor.dispose();
});

test("many images that cannot be decoded: the event loop turns while they are told of", async () => {
  const images = Array.from({ length: 1500 }, () => new Uint8Array([1]));
  let [told, turns] = [0, 0];
  let turnsAtEnd = 0;
  let counting: NodeJS.Immediate | undefined;
  const count = (): void => {
    turns++;
    counting = setImmediate(count);
  };
  const onError = (): void => {
    if (told++ === 0) counting = setImmediate(count);
    turnsAtEnd = turns;
  };
  const { tensor } = await imagesTensor(
    images,
    "images",
    { ...checkGeometry({ channels: 1, size: 8, resize: "none" }, "target"), signal: undefined },
    onError,
  );
  clearImmediate(counting);
  expect([told, tensor.shape[0]]).toEqual([1500, 0]);
  expect(turnsAtEnd).toBeGreaterThan(3);
  tensor.dispose();
});

test("an onProgress that never settles can be aborted", async () => {
  const model = await tinyNetwork();
  mkdirSync(directory.path("pets/cat"), { recursive: true });
  const path = await plain("pets/cat/0.png", 50);
  const cache = directory.path("cache");
  await datasets.imageFolder(directory.path("pets"), { cache });
  const data = tinyData(40);
  const calls: ((options: { onProgress: () => Promise<void>; signal: AbortSignal }) => Promise<unknown>)[] = [
    (options) => model.extract(path, options),
    (options) => Detector.fit(model, data, { calibration: data, allowOverlap: true, ...options }),
    (options) => datasets.imageFolder(directory.path("pets"), { cache: false, ...options }),
    (options) => datasets.imageFolder(directory.path("pets"), { cache, ...options }),
    ({ onProgress: onEpoch, signal }) => model.fit(data, { epochs: 1, onEpoch, signal }),
  ];
  for (const call of calls) {
    const controller = new AbortController();
    const onProgress = (): Promise<void> => {
      setImmediate(() => controller.abort());
      return new Promise(() => undefined);
    };
    expect(await libraryFailureOf(() => call({ onProgress, signal: controller.signal }))).toMatchObject({ code: "ERR_ABORTED" });
  }
  model.dispose();
});

test("what onError does to a failure does not change which rows are left out", async () => {
  const model = await tinyNetwork();
  const sound = await plain("good.png", 70);
  const source = [{ images: [new Uint8Array([1]), sound, sound], labels: Int32Array.of(7, 3, 5) }];
  const seen: unknown[] = [];
  const onError = (failure: ImageFailure): void => void ((failure as { index: number }).index = 2);
  const { skipped } = await model.extractStream(
    source,
    (chunk) => {
      seen.push([...chunk.labels]);
      (chunk.skipped[0] as { index: number }).index = 9;
    },
    { onError },
  );
  expect([seen, skipped.map(({ index }) => index)]).toEqual([[[3, 5]], [0]]);
  model.dispose();
});

test("what an error says is the decoder's own words for this image, on one line", async () => {
  const model = await tinyNetwork();
  const jpeg = await sharp(await readFile(await plain("whole.png", 50)))
    .jpeg()
    .toBuffer();
  const webp = await sharp(jpeg).webp().toBuffer();
  const png = await sharp(jpeg).png().toBuffer();
  const images = Array.from({ length: 30 }, (_, i) => [jpeg, webp, png][i % 3] as Buffer).map((whole) =>
    whole.subarray(0, whole.length - 20),
  );
  const { skipped } = await model.extract(images, { onError: "skip" });
  expect(skipped.length).toBe(images.length);
  for (const { reason } of skipped) expect(reason).not.toMatch(/\n|Vips|vipspng|webp|failOn|error in tile/);
  expect(skipped[0]?.reason).toBe("images[0]: expected a sound image, found one that is cut off");
  // Not half of another's that was decoded beside it: libvips has one list of faults for all.
  for (const kind of [0, 1, 2]) {
    const { message } = await libraryFailureOf(() => model.extract(images[kind] as Buffer));
    const reasons = skipped
      .filter(({ index }) => index % 3 === kind)
      .map(({ index, reason }) => reason.replace(`images[${index}]`, "images"));
    expect(new Set(reasons)).toEqual(new Set([message.replace("images[0]", "images")]));
  }
  model.dispose();
});
