// Sources: their orders, labels and names, the same batches whatever is decoded at a time, and images that are left out.

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { gzipSync } from "node:zlib";
import sharp from "sharp";
import { create } from "tar";
import { Dataset, sources, type BatchOptions, type ImageFailure, type ImageSource } from "../../../lib";
import { randomPermutation, randomPermutationInTurns } from "../../../lib/core/random-permutation";
import { countTurns } from "../../support/event-loop";
import { temporaryDirectory } from "../../support/temporary-directory";
import { failureOf, libraryFailureOf } from "../../models/resnet/tiny-network";

const directory = temporaryDirectory();
const size = 4;
const input = { size };

/** A picture of one colour, by which its pixels tell which it is. */
const png = (value: number): Promise<Buffer> =>
  sharp({ create: { width: size, height: size, channels: 3, background: { r: value, g: value, b: value } } })
    .png()
    .toBuffer();

async function write(path: string, content: Buffer | string): Promise<string> {
  mkdirSync(dirname(directory.path(path)), { recursive: true });
  writeFileSync(directory.path(path), content);
  return Promise.resolve(directory.path(path));
}

interface Seen {
  values: number[];
  labels: number[];
  names: string[];
  skipped: ImageFailure[];
  sizes: number[];
}

/** All that the batches of a source hold. */
async function seen(source: ImageSource, options: Partial<BatchOptions> = {}): Promise<Seen> {
  const all: Seen = { values: [], labels: [], names: [], skipped: [], sizes: [] };
  for await (const { images, labels, names, skipped } of source.batches({ batchSize: 4, input, ...options })) {
    const pixels = images.toArray() as Uint8Array;
    images.dispose();
    const length = 3 * size * size;
    all.sizes.push(labels.length);
    all.values.push(...Array.from(labels, (__, i) => pixels[i * length] as number));
    all.labels.push(...labels);
    all.names.push(...names);
    all.skipped.push(...skipped);
  }
  return all;
}

const inOrder = Array.from({ length: 10 }, (_, i) => i);
let paths: string[];
beforeAll(async () => {
  paths = await Promise.all(inOrder.map(async (i) => write(`many/${i % 2 ? "cat" : "dog"}/${i}.png`, await png(i))));
  await write("many/cat/._1.png", "a Mac's");
});

describe("a folder", () => {
  test("classes are the folders; hidden names are left out", async () => {
    const source = await sources.folder(directory.path("many"));
    expect([source.length, source.classNames]).toEqual([10, ["cat", "dog"]]);
    const { values, labels, names, sizes } = await seen(source);
    expect(values).toEqual([1, 3, 5, 7, 9, 0, 2, 4, 6, 8]);
    expect(labels).toEqual([0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
    expect(sizes).toEqual([4, 4, 2]);
    expect(names[0]).toBe(directory.path("many/cat/1.png"));
  });

  test("without classes, or labelled by a function", async () => {
    const none = await sources.folder(directory.path("many"), { labels: "none" });
    expect((await seen(none)).labels).toEqual(inOrder.map(() => -1));
    const labels = (path: string): string => (Number(/\d+/.exec(path)?.[0]) > 4 ? "large" : "small");
    const named = await sources.folder(directory.path("many"), { labels, classNames: ["small", "large"] });
    expect((await seen(named)).labels).toEqual([0, 0, 1, 1, 1, 0, 0, 0, 1, 1]);
    expect(await libraryFailureOf(async () => seen(await sources.folder(directory.path("many"), { labels })))).toMatchObject({
      code: "ERR_OPTION",
      message: expect.stringContaining("a number, or classNames") as string,
    });
  });
});

describe("orders", () => {
  const source = () => sources.files(paths);

  test("follow from seed and epoch, and have every image once", async () => {
    const order = (seed: number, epoch: number) => seen(source(), { order: { seed, epoch } }).then(({ values }) => values);
    const first = await order(1, 0);
    expect(first).not.toEqual(inOrder);
    expect([...first].sort((a, b) => a - b)).toEqual(inOrder);
    expect(await order(1, 0)).toEqual(first);
    for (const other of [await order(1, 1), await order(2, 0)]) expect(other).not.toEqual(first);
    expect((await seen(source(), { order: { seed: 1, epoch: 0, shuffle: false } })).values).toEqual(inOrder);
  });

  test("an epoch is gone on with at any batch, and shards part it", async () => {
    const order = { seed: 3, epoch: 2 };
    const { values } = await seen(source(), { order });
    expect((await seen(source(), { order, start: 1 })).values).toEqual(values.slice(4));
    const parts = await Promise.all([0, 1, 2].map((index) => seen(source(), { order, shard: { index, count: 3 } })));
    expect(parts.map((part) => part.values)).toEqual([0, 1, 2].map((index) => values.filter((_, place) => place % 3 === index)));
  });

  test("through a buffer, of what comes as it comes", async () => {
    const streamed = sources.files(() => paths, { shuffleBuffer: 4 });
    const order = (epoch: number) => seen(streamed, { order: { seed: 1, epoch } }).then(({ values }) => values);
    const first = await order(0);
    expect([...first].sort((a, b) => a - b)).toEqual(inOrder);
    expect(first).not.toEqual(inOrder);
    expect(await order(0)).toEqual(first);
    expect(await order(1)).not.toEqual(first);
    // One that waits in a buffer of 4 is drawn before more than 4 others have come.
    first.forEach((value, place) => expect(value).toBeLessThanOrEqual(place + 4));
  });

  test("draws of an augmentation follow an image's place, in whatever batch and part it is", async () => {
    const wide = await Promise.all(inOrder.map(async (i) => write(`wide/${i}.png`, await gradient(i))));
    const pixels = async (options: Partial<BatchOptions>): Promise<string[]> => {
      const rows: string[] = [];
      const order = { seed: 5, epoch: 1, shuffle: false };
      const batches = sources.files(wide).batches({ batchSize: 4, input: { size: 8 }, augmentation: "resized-crop-flip", order, ...options });
      for await (const { images } of batches) {
        const all = Buffer.from((images.toArray() as Uint8Array).buffer);
        for (let i = 0; i < (images.shape[0] as number); i++) rows.push(all.toString("base64", i * 192, (i + 1) * 192));
        images.dispose();
      }
      return rows;
    };
    const whole = await pixels({});
    expect(new Set(whole).size).toBe(10);
    expect(await pixels({ batchSize: 3 })).toEqual(whole);
    expect(await pixels({ start: 1 })).toEqual(whole.slice(4));
    expect(await pixels({ shard: { index: 1, count: 2 } })).toEqual(whole.filter((_, i) => i % 2 === 1));
    expect(await pixels({ order: { seed: 5, epoch: 2, shuffle: false } })).not.toEqual(whole);
  });
});

const gradient = (i: number): Promise<Buffer> =>
  sharp(
    Uint8Array.from({ length: 40 * 30 * 3 }, (_, at) => (at * 7 + i * 13) % 256),
    { raw: { width: 40, height: 30, channels: 3 } },
  )
    .png()
    .toBuffer();

test("a million paths, and their order, leave the event loop free", async () => {
  const { result, turns } = await countTurns(() => randomPermutationInTurns(1_000_000, 7));
  expect(Buffer.compare(new Uint8Array(result.buffer), new Uint8Array(randomPermutation(1_000_000, 7).buffer))).toBe(0);
  expect(turns).toBeGreaterThan(10);
});

describe("images that cannot be decoded", () => {
  test("end the iteration, or are left out and told of", async () => {
    const broken = [...paths];
    broken.splice(5, 0, await write("broken/a.jpg", "no picture"), directory.path("broken/absent.png"));
    const source = sources.files(broken);
    expect(await libraryFailureOf(() => seen(source))).toMatchObject({ code: "ERR_CORRUPT_FILE" });
    const told: [number, string][] = [];
    const onError = ({ index, code }: ImageFailure): void => void told.push([index, code]);
    const { values, sizes, skipped, names } = await seen(source, { onError });
    expect(values).toEqual(inOrder);
    expect(sizes).toEqual([4, 2, 4]); // a batch is cut by places
    expect(told).toEqual([[5, "ERR_CORRUPT_FILE"], [6, "ERR_IO"]]);
    expect(skipped.map(({ index, path }) => [index, path])).toEqual([[5, broken[5]], [6, broken[6]]]);
    expect(names).toEqual(paths);
    const stop = new Error("enough");
    expect(
      await failureOf(() =>
        seen(source, {
          onError: () => {
            throw stop;
          },
        }),
      ),
    ).toBe(stop);
  });

  test("a batch may be empty", async () => {
    const absent = Array.from({ length: 4 }, (_, i) => directory.path(`absent-${i}.png`));
    const { sizes, values } = await seen(sources.files([...absent, ...paths]), { onError: "skip" });
    expect(sizes).toEqual([0, 4, 4, 2]);
    expect(values).toEqual(inOrder);
  });
});

describe("files", () => {
  test("from a list in a text file", async () => {
    const list = await write("list.txt", `${paths.join("\n")}\n`);
    expect((await seen(await sources.filesFrom(list))).values).toEqual(inOrder);
  });

  test("from an asynchronous iterable, which is read once", async () => {
    async function* found() {
      for (const path of paths) yield await Promise.resolve(path);
    }
    const source = sources.files(found(), { length: 10, labels: (path) => (path.includes("cat") ? 0 : 1) });
    expect((await seen(source)).labels).toEqual(inOrder.map((i) => (i % 2 ? 0 : 1)));
    expect(await libraryFailureOf(() => seen(source))).toMatchObject({ code: "ERR_OPTION", message: expect.stringContaining("read") as string });
  });

  test("of a program: bytes, pixels, names and labels", async () => {
    const rows = await Promise.all(inOrder.map(async (i) => ({ image: new Uint8Array(await png(i)), label: i % 2 ? "cat" : "dog", name: `row ${i}` })));
    const { values, labels, names } = await seen(sources.iterable(() => rows, { classNames: ["cat", "dog"] }));
    expect([values, labels, names[3]]).toEqual([inOrder, inOrder.map((i) => (i % 2 ? 0 : 1)), "row 3"]);
    const pixels = { data: new Uint8Array(4 * size * size).fill(255), width: size, height: size };
    expect((await seen(sources.iterable([pixels, paths[2] as string]))).values).toEqual([255, 2]);
  });
});

describe("tar shards", () => {
  const folder = () => directory.path("shards");

  /** A shard of the pictures from `first` on, with labels by `.cls`. */
  async function shard(name: string, values: readonly number[]): Promise<string> {
    const members: string[] = [];
    for (const value of values) {
      await write(`shards/${name}/${value}.png`, await png(value));
      await write(`shards/${name}/${value}.cls`, `${value % 3}\n`);
      members.push(`${value}.cls`, `${value}.png`);
    }
    await create({ file: `${folder()}/${name}.tar`, cwd: `${folder()}/${name}` }, members);
    return `${folder()}/${name}.tar`;
  }

  test("a range of shards, plain and compressed; at random by shards and through the buffer", async () => {
    for (const [i, values] of [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]].entries()) await shard(`part-00${i}`, values);
    const source = sources.tar(`${folder()}/part-{000..002}.tar`, { length: 10, shuffleBuffer: 2 });
    const { values, labels, names } = await seen(source);
    expect([values, labels]).toEqual([inOrder, inOrder.map((i) => i % 3)]);
    expect(names[4]).toBe(`${folder()}/part-001.tar/4.png`);
    const random = await seen(source, { order: { seed: 2, epoch: 0 } });
    expect([...random.values].sort((a, b) => a - b)).toEqual(inOrder);
    expect(random.values).not.toEqual(inOrder);
    expect(random.labels).toEqual(random.values.map((value) => value % 3));
    expect((await seen(source, { order: { seed: 2, epoch: 0 } })).values).toEqual(random.values);
    const plain = await import("node:fs").then(({ readFileSync }) => readFileSync(`${folder()}/part-000.tar`));
    expect((await seen(sources.tar(await write("shards/one.tar.gz", gzipSync(plain))))).values).toEqual([0, 1, 2, 3]);
  });

  test("labels of .json, by name or by a function", async () => {
    for (const i of [0, 1]) {
      await write(`shards/json/a/${i}.jpeg.png`, await png(i)); // all behind the first dot is the ending
      await write(`shards/json/a/${i}.json`, JSON.stringify({ label: i ? "cat" : "dog", kind: i }));
    }
    await write("shards/json/a/._0.png", "a Mac's");
    await create({ file: `${folder()}/json.tar`, cwd: `${folder()}/json` }, ["a"]);
    const classNames = ["cat", "dog"];
    expect((await seen(sources.tar(`${folder()}/json.tar`, { classNames }))).labels).toEqual([1, 0]);
    const labels = ({ name, json }: sources.ShardSample): number => (name === "a/1" ? 5 : (json as { kind: number }).kind);
    expect((await seen(sources.tar(`${folder()}/json.tar`, { labels }))).labels).toEqual([0, 5]);
    expect(await libraryFailureOf(() => seen(sources.tar(`${folder()}/json.tar`)))).toMatchObject({ code: "ERR_OPTION" });
  });

  test("a damaged shard: what is before the damage is kept, the next one follows", async () => {
    const whole = await import("node:fs").then(({ readFileSync }) => readFileSync(`${folder()}/part-000.tar`));
    const cut = await write("shards/cut.tar", whole.subarray(0, 2600)); // in the second picture
    const wrong = await write("shards/wrong.tar", "this is no tar file".repeat(100));
    const empty = await write("shards/empty.tar", "");
    const gzip = await write("shards/cut.tar.gz", gzipSync(whole).subarray(0, 300));
    for (const path of [cut, wrong, empty, gzip]) {
      const source = sources.tar([path, `${folder()}/part-002.tar`]);
      expect(await libraryFailureOf(() => seen(source))).toMatchObject({ code: "ERR_CORRUPT_FILE", message: expect.stringContaining(path) as string });
      const { values, skipped } = await seen(source, { onError: "skip" });
      expect(values.slice(-3)).toEqual([7, 8, 9]);
      expect(skipped.map((failure) => failure.path)).toEqual([path]);
    }
    expect(await libraryFailureOf(() => seen(sources.tar(`${folder()}/absent.tar`)))).toMatchObject({ code: "ERR_IO" });
  });
});

describe("a Dataset is a source too", () => {
  const images = Uint8Array.from({ length: 6 * 3 * 16 }, (_, i) => Math.floor(i / 48) * 10);
  const data = Dataset.fromArrays({ images, labels: [0, 1, 0, 1, 0, 1], shape: [3, 4, 4] });

  test("in its order and at random", async () => {
    expect((await seen(data)).values).toEqual([0, 10, 20, 30, 40, 50]);
    const { values, labels } = await seen(data, { order: { seed: 1, epoch: 0 } });
    expect(labels).toEqual(values.map((value) => (value / 10) % 2));
  });

  test("what it cannot give is refused", () => {
    const five = Dataset.fromArrays({ images: new Uint8Array(80), labels: [0], shape: [5, 4, 4] });
    expect(() => five.batches({ batchSize: 1, input })).toThrow(expect.objectContaining({ code: "ERR_SHAPE" }) as Error);
  });
});

describe("options", () => {
  test.each<[string, object, string]>([
    ["an unknown one", { bathSize: 4 }, "ERR_OPTION"],
    ["no size", { input: {} }, "ERR_OPTION"],
    ["an augmentation without an order", { augmentation: "crop-flip" }, "ERR_OPTION"],
    ["a part beyond the last", { shard: { index: 2, count: 2 } }, "ERR_RANGE"],
    ["a share of the area that is none", { augmentation: { resizedCrop: { scale: [0.5, 0.1] } }, order: { seed: 0, epoch: 0 } }, "ERR_RANGE"],
  ])("%s", (_, options, code) => {
    const call = () => sources.files(paths).batches({ batchSize: 4, input, ...options } as BatchOptions);
    expect(call).toThrow(expect.objectContaining({ code }) as Error);
  });

  test("an abort ends the iteration, also where the source never answers", async () => {
    const never = async function* () {
      yield paths[0] as string;
      await new Promise(() => undefined);
    };
    const call = seen(sources.files(never()), { signal: AbortSignal.timeout(50) });
    expect(await libraryFailureOf(() => call)).toMatchObject({ code: "ERR_ABORTED" });
  });

  test("what is not a source is refused", () => {
    expect(() => sources.files(5 as unknown as string[])).toThrow(expect.objectContaining({ code: "ERR_OPTION" }) as Error);
    expect(() => sources.tar([])).toThrow(expect.objectContaining({ code: "ERR_OPTION" }) as Error);
    expect(() => sources.tar("a-{5..3}.tar")).toThrow(expect.objectContaining({ code: "ERR_OPTION" }) as Error);
  });
});
