// Training from sources: the same as from memory, whatever the source; resumed in the middle of an epoch, bit for bit; what a source does wrong ends it.

import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import sharp from "sharp";
import {
  Dataset,
  ResNet,
  sources,
  type BatchOptions,
  type FitOptions,
  type ImageFailure,
  type ImageSource,
  type SourceBatch,
} from "../../../lib";
import { openModelFile } from "../../../lib/models/resnet/model-file";
import { countTurns } from "../../support/event-loop";
import { temporaryDirectory } from "../../support/temporary-directory";
import { failureOf, libraryFailureOf, tinyData, tinyNetwork, useOneThread, weightBytes } from "./tiny-network";

useOneThread();
const directory = temporaryDirectory();
const train = tinyData(50);
const recipe = { batchSize: 16, learningRate: 0.05, seed: 9, epochs: 2 } as const;

/** The data set behind the interface alone. */
class Hidden implements ImageSource {
  readonly length: number | undefined;
  readonly classNames: readonly string[] | undefined;
  opened = 0;
  closed = 0;

  constructor(
    private readonly data: Dataset,
    known = true,
  ) {
    this.length = known ? data.length : undefined;
    this.classNames = data.classNames;
  }

  async *batches(options: BatchOptions): AsyncGenerator<SourceBatch> {
    this.opened++;
    try {
      yield* this.data.batches(options);
    } finally {
      this.closed++;
    }
  }
}

async function trained(data: Dataset | ImageSource, options: Partial<FitOptions> = {}) {
  const model = await tinyNetwork({ seed: 3 });
  const history = await model.fit(data, { ...recipe, ...options } as FitOptions);
  return { weights: await weightBytes(model), history, model };
}

const losses = ({ history }: Awaited<ReturnType<typeof trained>>) =>
  history.map(({ loss, accuracy, validationAccuracy }) => [loss, accuracy, validationAccuracy]);

test("without shuffling it ends with the weights of training in memory, bit for bit", async () => {
  const validation = tinyData(21, "held out");
  const options = { shuffle: false, validation };
  const inMemory = await trained(train, options);
  for (const known of [true, false]) {
    const found = await trained(new Hidden(train, known), { ...options, validation: new Hidden(validation, known) });
    expect(found.weights).toEqual(inMemory.weights);
    expect(losses(found)).toEqual(losses(inMemory));
  }
  const mixed = await trained(train, { ...options, validation: new Hidden(validation) });
  expect([mixed.weights, losses(mixed)]).toEqual([inMemory.weights, losses(inMemory)]);
});

test("each epoch has its order; batches are told of, and the source is closed", async () => {
  const source = new Hidden(train);
  const orders: unknown[] = [];
  const batches = source.batches.bind(source);
  source.batches = (options: BatchOptions) => {
    orders.push(options.order);
    return batches(options);
  };
  const told: [number, number, number | undefined][] = [];
  await trained(source, { onBatch: ({ epoch, batch, batches: all }) => void told.push([epoch, batch, all]) });
  expect(orders).toEqual([0, 1].map((epoch) => ({ seed: 9, epoch, shuffle: true })));
  expect(told.filter(([, batch]) => batch === 4)).toEqual([
    [1, 4, 4],
    [2, 4, 4],
  ]);
  expect([source.opened, source.closed]).toEqual([2, 2]);
});

test("a Dataset whose pictures vary is trained on as a source: the same as behind the interface", async () => {
  const options = { augmentation: { resizedCrop: true, colorJitter: { contrast: 0.3 } } } as const;
  const [own, hidden] = [await trained(train, options), await trained(new Hidden(train), options)];
  expect([own.weights, losses(own)]).toEqual([hidden.weights, losses(hidden)]);
  expect(own.weights).not.toEqual((await trained(train)).weights);
});

describe("resumed", () => {
  /** Stops at the batch, as a checkpoint has it. */
  async function stopped(source: ImageSource, path: string, at: number, options: Partial<FitOptions>): Promise<void> {
    const controller = new AbortController();
    let batches = 0;
    const watched: ImageSource = {
      ...{ length: source.length, classNames: source.classNames },
      async *batches(given) {
        for await (const batch of source.batches(given)) {
          if (batches++ === at) {
            while (!existsSync(path)) await setTimeout(5); // batches are decoded ahead of those that are computed
            controller.abort();
          }
          yield batch;
        }
      },
    };
    const call = trained(watched, { ...options, checkpoint: path, signal: controller.signal });
    expect(await libraryFailureOf(() => call)).toMatchObject({ code: "ERR_ABORTED" });
  }

  test("in the middle of an epoch it ends as an uninterrupted run", async () => {
    const source = new Hidden(train);
    const options = {
      checkpointEvery: { batches: 1 },
      augmentation: { resizedCrop: true, horizontalFlip: true, colorJitter: { brightness: 0.2 } },
    } as const;
    const whole = await trained(source, { ...options, checkpoint: directory.path("whole.safetensors") });
    const middles = new Set<number>();
    for (const at of [2, 3, 5, 7]) {
      const path = directory.path(`stopped-${at}.safetensors`);
      await stopped(source, path, at, options);
      const file = await openModelFile(path);
      middles.add(file.description.training?.epochSums?.batch ?? 0);
      await file.close();
      const resumed = await trained(source, { ...options, checkpoint: path, resume: true });
      expect(resumed.weights).toEqual(whole.weights);
      expect(losses(resumed)).toEqual(losses(whole));
    }
    expect([...middles].some((batch) => batch > 0)).toBe(true);
  });

  test("in memory too", async () => {
    const options = { checkpointEvery: { batches: 1 }, augmentation: { cropPadding: 1, horizontalFlip: true } } as const;
    const whole = await trained(train, { ...options, checkpoint: directory.path("memory.safetensors") });
    const path = directory.path("memory-stopped.safetensors");
    const controller = new AbortController();
    let seen = 0;
    const call = trained(train, {
      ...options,
      checkpoint: path,
      signal: controller.signal,
      onBatch: () => void (seen++ === 0 && controller.abort()),
    });
    expect(await libraryFailureOf(() => call)).toMatchObject({ code: "ERR_ABORTED" });
    const resumed = await trained(train, { ...options, checkpoint: path, resume: true });
    expect([resumed.weights, losses(resumed)]).toEqual([whole.weights, losses(whole)]);
  });

  test("another source is refused", async () => {
    const paths = await pictures("resume", 20);
    const path = directory.path("other.safetensors");
    const source = (list: string[]) => sources.files(list, { labels: (name) => Number(/(\d+)\.png$/.exec(name)![1]) % 3 });
    await trained(source(paths), { epochs: 1, checkpoint: path });
    await trained(source(paths), { epochs: 2, checkpoint: path, resume: true });
    const call = trained(source(paths.slice(1)), { epochs: 3, checkpoint: path, resume: true });
    expect(await libraryFailureOf(() => call)).toMatchObject({ code: "ERR_OPTION", message: expect.stringContaining("data") as string });
  });
});

async function pictures(folder: string, count: number): Promise<string[]> {
  mkdirSync(directory.path(folder), { recursive: true });
  const paths: string[] = [];
  for (let i = 0; i < count; i++) {
    const pixels = Uint8Array.from({ length: 12 * 9 }, (_, at) => (Math.floor(at / 36) === i % 3 ? 200 : 20) + (at % 7));
    const path = directory.path(`${folder}/${i}.png`);
    writeFileSync(
      path,
      await sharp(pixels, { raw: { width: 12, height: 9, channels: 1 } })
        .png()
        .toBuffer(),
    );
    paths.push(path);
  }
  return paths;
}

test("pictures in files: it learns them, broken ones are left out and told of", async () => {
  const paths = await pictures("learn", 60);
  writeFileSync(directory.path("learn/7.png"), "no picture");
  const source = sources.files(paths, { labels: (name) => Number(/(\d+)\.png$/.exec(name)![1]) % 3 });
  const skipped: ImageFailure[] = [];
  const options = { epochs: 8, augmentation: { horizontalFlip: true } as const };
  const { history, model } = await trained(source, { ...options, onError: (failure) => void skipped.push(failure) });
  expect(history.at(-1)!.accuracy).toBeGreaterThan(0.9);
  expect(skipped).toHaveLength(8);
  expect(skipped[0]).toMatchObject({ path: paths[7], code: "ERR_CORRUPT_FILE" });
  let rows = 0;
  const { count, skipped: left } = await model.extractStream(
    source,
    ({ features, labels, offset }) => {
      expect([features.shape[0], offset]).toEqual([labels.length, rows]);
      rows += labels.length;
    },
    { onError: "skip", batchSize: 16 },
  );
  expect([count, rows, left.map(({ index }) => index)]).toEqual([59, 59, [7]]);
  expect(await libraryFailureOf(() => trained(source, options))).toMatchObject({ code: "ERR_CORRUPT_FILE" });
});

describe("what ends a run", () => {
  const broken = (batches: ImageSource["batches"], length: number | undefined = 50): ImageSource => ({
    length,
    classNames: undefined,
    batches,
  });

  test("an error of the source, which is that very error", async () => {
    const error = new Error("of the source");
    const source = broken(async function* (options) {
      let count = 0;
      for await (const batch of train.batches(options)) {
        if (count++ === 2) throw error;
        yield batch;
      }
    });
    expect(await failureOf(() => trained(source))).toBe(error);
    expect(await failureOf(() => trained(train, { validation: source }))).toBe(error);
  });

  test("an abort, while the source never answers", async () => {
    const source = broken(async function* () {
      await new Promise(() => undefined);
      yield* [];
    });
    const { result } = await countTurns(() => libraryFailureOf(() => trained(source, { signal: AbortSignal.timeout(100) })));
    expect(result).toMatchObject({ code: "ERR_ABORTED" });
  });

  const named = (classNames: string[]): ImageSource => ({ length: 50, classNames, batches: (options) => train.batches(options) });

  test.each<[string, () => ImageSource, Partial<FitOptions>, string]>([
    ["no images", () => broken(async function* () {}), {}, "ERR_SHAPE"],
    ["no labels", () => sources.iterable(() => [{ data: new Uint8Array(256), width: 8, height: 8 }]), {}, "ERR_OPTION"],
    [
      "labels beyond the classes",
      () => sources.iterable(() => [{ image: { data: new Uint8Array(256), width: 8, height: 8 }, label: 3 }]),
      {},
      "ERR_RANGE",
    ],
    ["an unknown length for a cosine", () => new Hidden(train, false), { schedule: "cosine" }, "ERR_OPTION"],
    ["a share for validation", () => new Hidden(train), { validation: 0.1 }, "ERR_OPTION"],
    ["a validation of other classes", () => new Hidden(train), { validation: named(["a", "b", "c"]) }, "ERR_OPTION"],
  ])("%s", async (_, source, options, code) => {
    expect(await libraryFailureOf(() => trained(source(), options))).toMatchObject({ code });
  });
});

test("a network without normalisation constants is told so", async () => {
  const model = await ResNet.create({ numClasses: 3, inChannels: 1, imageSize: 8, width: 0.125 });
  expect(await libraryFailureOf(() => model.fit(new Hidden(train), { epochs: 1 }))).toMatchObject({ code: "ERR_OPTION" });
});
