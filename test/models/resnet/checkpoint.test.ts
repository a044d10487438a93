// Checkpoints: a run that was stopped, even by kill -9, goes on from one and ends as if it had never been stopped; a
// checkpoint of another run, or a damaged one, is refused; a disk that does not take it ends the run.

import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { getuid } from "node:process";
import { setTimeout } from "node:timers/promises";
import { Dataset, ResNet, type FitOptions } from "../../../lib";
import { readSafetensors, writeSafetensors } from "../../../lib/formats/safetensors";
import { openModelFile } from "../../../lib/models/resnet/model-file";
import { temporaryDirectory } from "../../support/temporary-directory";
import { answerOf, run } from "../../reliability/child";
import { failureOf, libraryFailureOf, tinyData, tinyNetwork, useOneThread, weightBytes } from "./tiny-network";

useOneThread();
const directory = temporaryDirectory();
let files = 0;
const newFile = () => directory.path(`checkpoint-${files++}.safetensors`);

const train = tinyData(48);
const recipe = { batchSize: 16, learningRate: 0.05, seed: 9, augmentation: { cropPadding: 1, horizontalFlip: true } } as const;

/** Weights, buffers and momentum of a checkpoint, as bytes. */
async function contents(path: string): Promise<{ state: Record<string, string>; momentum: Record<string, string>; losses: number[] }> {
  const file = await openModelFile(path);
  const bytes = (tensors: Awaited<ReturnType<typeof file.state>>) =>
    Object.fromEntries(tensors.map(({ name, tensor }) => [name, Buffer.from(tensor.toArray().buffer).toString("base64")]));
  const result = {
    state: bytes(await file.state()),
    momentum: bytes(await file.momentum()),
    losses: (file.description.training?.history ?? []).map(({ loss }) => loss),
  };
  await file.close();
  expect(Object.keys(result.momentum).length).toBeGreaterThan(40);
  return result;
}

async function trained(options: Partial<FitOptions>, epochs: number, data = train, network: object = {}) {
  const model = await tinyNetwork({ seed: 3, ...network });
  const history = await model.fit(data, { ...recipe, epochs, ...options });
  return { model, history };
}

describe("a resumed run equals an uninterrupted one, bit for bit", () => {
  const variants: [string, Partial<FitOptions>, object][] = [
    ["crop and flip", {}, {}],
    ["milestones inside both parts", { milestones: [1, 3], gamma: 0.3 }, {}],
    ["cosine", { schedule: "cosine" }, {}],
    ["Nesterov, no weight decay, no shuffling", { nesterov: true, weightDecay: 0, shuffle: false }, {}],
    ["bfloat16", { precision: "bfloat16" }, {}],
    ["a validation share", { validation: 0.25 }, {}],
    ["float64", {}, { dtype: "float64" }],
    ["no spectral norm, projections", {}, { spectralNorm: false, avgPoolShortcut: false }],
  ];

  test.each(variants)("%s", async (_, options, network) => {
    const [whole, halves] = [newFile(), newFile()];
    const straight = await trained({ ...options, checkpoint: whole }, 4, train, network);
    // Stopped after two epochs, when their checkpoint is written: a cosine's length must be known from the start.
    const controller = new AbortController();
    const first = await tinyNetwork({ seed: 3, ...network });
    const stop = { checkpoint: halves, signal: controller.signal };
    await failureOf(() =>
      first.fit(train, { ...recipe, ...options, ...stop, epochs: 4, onEpoch: ({ epoch }) => void (epoch === 2 && controller.abort()) }),
    );
    expect((await contents(halves)).losses).toHaveLength(2);
    // The other seed of the weights shows that they come from the file.
    const resumed = await trained({ ...options, checkpoint: halves, resume: true }, 4, train, { ...network, seed: 77 });
    expect(await weightBytes(resumed.model)).toEqual(await weightBytes(straight.model));
    expect(await contents(halves)).toEqual(await contents(whole));
    const numbers = (history: typeof straight.history) =>
      history.map(({ epoch, loss, accuracy, validationAccuracy, learningRate }) => [
        epoch,
        loss,
        accuracy,
        validationAccuracy,
        learningRate,
      ]);
    expect(numbers(resumed.history)).toEqual(numbers(straight.history));
  });

  test("killed by SIGKILL at ten moments", async () => {
    const [killed, whole] = [newFile(), newFile()];
    const epochs = 120;
    let kills = 0;
    for (let i = 0; i < 10; i++) {
      const ending = await run("trains-with-checkpoint.cjs", [killed, epochs], {
        whenReady: async (child) => {
          // The first kill may come before the first checkpoint; the others, however slow the machine, come after it.
          const running = () => child.exitCode === null && child.signalCode === null;
          while (i > 0 && running() && !existsSync(killed)) await setTimeout(5);
          await setTimeout((i * 53) % 140);
          child.kill("SIGKILL");
        },
      });
      if (ending.signal === "SIGKILL") kills++;
      // Whole and readable after every kill.
      if (i > 0 || existsSync(killed)) expect((await contents(killed)).losses.length).toBeGreaterThan(0);
    }
    expect(kills).toBe(10);
    await answerOf("trains-with-checkpoint.cjs", [killed, epochs]);
    await answerOf("trains-with-checkpoint.cjs", [whole, epochs]);
    expect(await contents(killed)).toEqual(await contents(whole));
    expect((await contents(whole)).losses).toHaveLength(epochs);
  });
});

test("no file yet: a fresh start, which writes it", async () => {
  const path = newFile();
  const { history } = await trained({ checkpoint: path, resume: true }, 1);
  expect(history).toHaveLength(1);
  expect(existsSync(path)).toBe(true);
});

test("a run that is done already: nothing is trained, the network is as it was left, and usable", async () => {
  const path = newFile();
  const done = await trained({ checkpoint: path }, 2);
  const model = await tinyNetwork({ seed: 5, normalization: undefined });
  let epochs = 0;
  const history = await model.fit(train, { ...recipe, epochs: 2, checkpoint: path, resume: true, onEpoch: () => void epochs++ });
  expect(epochs).toBe(0);
  expect(history.map(({ loss }) => loss)).toEqual(done.history.map(({ loss }) => loss));
  expect(await weightBytes(model)).toEqual(await weightBytes(done.model));
  expect(model.classNames).toEqual(train.classNames);
  expect((await model.extract(train)).features.toArray()).toEqual((await done.model.extract(train)).features.toArray());
});

test("a checkpoint is a model file: ResNet.load reads it", async () => {
  const path = newFile();
  const { model } = await trained({ checkpoint: path }, 1);
  const loaded = await ResNet.load(path);
  expect(await weightBytes(loaded)).toEqual(await weightBytes(model));
  expect(loaded.normalization).toEqual(train.normalization);
  expect(loaded.classNames).toEqual(train.classNames);
});

test("checkpointEvery: those epochs and the last", async () => {
  const path = newFile();
  const counts: number[] = [];
  const onEpoch = async () => {
    await setTimeout(1);
    if (existsSync(path)) counts.push((await contents(path)).losses.length);
  };
  await trained({ checkpoint: path, checkpointEvery: 3, onEpoch }, 7);
  expect(counts.every((count) => count % 3 === 0 || count === 7)).toBe(true);
  expect((await contents(path)).losses).toHaveLength(7);
});

test("without resume an old file is overwritten, not read", async () => {
  const path = directory.put("other.safetensors", "something else");
  const { history } = await trained({ checkpoint: path }, 1);
  expect(history).toHaveLength(1);
  expect((await contents(path)).losses).toHaveLength(1);
});

describe("a checkpoint of another run is refused, with the difference, and the network is left alone", () => {
  const path = directory.path("run.safetensors");
  beforeAll(async () => {
    await trained({ checkpoint: path, schedule: "cosine", validation: 0.25 }, 2);
  });

  const other = { ...tinyData(48, "other"), images: tinyData(48).images.map((byte) => byte ^ 1) };
  const changed = Dataset.fromArrays({
    images: other.images,
    labels: train.labels,
    shape: train.shape,
    normalization: train.normalization,
  });
  const relabelled = Dataset.fromArrays({
    images: train.images,
    labels: train.labels.map((label, i) => (i === 5 ? (label + 1) % 3 : label)),
    shape: train.shape,
    normalization: train.normalization,
  });
  const renormalised = train.withNormalization({ mean: [0.5], std: [0.5] });

  test.each<[string, Partial<FitOptions>, Dataset, object, RegExp]>([
    ["learning rate", { learningRate: 0.1 }, train, {}, /differs in option learningRate \(0.05 there, 0.1 here\)$/],
    [
      "batch size and seed",
      { batchSize: 8, seed: 1 },
      train,
      {},
      /differs in option batchSize \(16 there, 8 here\), option seed \(9 there, 1 here\), the training or validation data$/,
    ],
    [
      "augmentation",
      { augmentation: "none" },
      train,
      {},
      /option cropPadding \(1 there, 0 here\), option horizontalFlip \(true there, false here\)$/,
    ],
    ["precision", { precision: "bfloat16" }, train, {}, /option precision \("float32" there, "bfloat16" here\)$/],
    ["length of a cosine", { epochs: 5 }, train, {}, /option epochs \(2 there, 5 here\)$/],
    ["validation", { validation: undefined }, train, {}, /differs in the training or validation data$/],
    [
      "another validation set beside the same training part",
      { validation: tinyData(12, "other") },
      train.split(0.25, recipe.seed).train,
      {},
      /differs in the training or validation data$/,
    ],
    ["labels of the same images", {}, relabelled, {}, /differs in the training or validation data$/],
    ["one bit of the images", {}, changed, {}, /differs in the training or validation data$/],
    [
      "normalisation of the data",
      {},
      renormalised,
      { normalization: undefined },
      /differs in normalization mean \(\[0.4\] there, \[0.5\] here\), normalization std \(\[0.3\] there, \[0.5\] here\)$/,
    ],
    ["architecture", {}, train, { l2Normalize: false }, /differs in architecture l2Normalize \(true there, false here\)$/],
    ["dtype", {}, train, { dtype: "float64" }, /differs in weights dtype \("float32" there, "float64" here\)$/],
  ])("%s", async (_, options, data, network, message) => {
    const model = await tinyNetwork({ seed: 8, ...network });
    const before = await weightBytes(model);
    const common = { ...recipe, epochs: 2, schedule: "cosine", validation: 0.25, checkpoint: path, resume: true } as const;
    const error = await libraryFailureOf(() => model.fit(data, { ...common, ...options }));
    expect(error.code).toBe("ERR_OPTION");
    expect(error.message).toMatch(message);
    expect(error.message).toContain(path);
    expect(await weightBytes(model)).toEqual(before);
    model.dispose();
  });

  test("a model without a training record", async () => {
    const saved = newFile();
    const model = await tinyNetwork();
    await model.save(saved);
    const error = await libraryFailureOf(() => model.fit(train, { ...recipe, epochs: 1, checkpoint: saved, resume: true }));
    expect(error).toMatchObject({ code: "ERR_OPTION", message: `${saved}: a model without a training record cannot be resumed` });
  });
});

describe("a checkpoint whose training record is not one is refused, field by field", () => {
  const sound = directory.path("sound.safetensors");
  beforeAll(async () => {
    await trained({ checkpoint: sound, milestones: [1] }, 2);
  });
  type Record = {
    training: { recipe: { [key: string]: unknown }; history: ({ [key: string]: unknown } | null)[]; [key: string]: unknown };
  };

  test.each<[string, (model: Record) => void]>([
    ["history: [null]", ({ training }) => (training.history[0] = null)],
    ["history: a text", ({ training }) => (training.history = "no" as never)],
    ["history: epochs out of order", ({ training }) => training.history.reverse()],
    ["history: a report too many", ({ training }) => training.history.push(training.history[0]!)],
    ["loss: null", ({ training }) => (training.history[0]!.loss = null)],
    ["loss: a text", ({ training }) => (training.history[1]!.loss = "low")],
    ["accuracy: 2", ({ training }) => (training.history[0]!.accuracy = 2)],
    ["validationAccuracy: an object", ({ training }) => (training.history[0]!.validationAccuracy = {})],
    ["learningRate: missing", ({ training }) => delete training.history[0]!.learningRate],
    ["seconds: negative", ({ training }) => (training.history[0]!.seconds = -1)],
    ["imagesPerSecond: an array", ({ training }) => (training.history[0]!.imagesPerSecond = [1])],
    ["precision: another", ({ training }) => (training.history[0]!.precision = "float16")],
    ["epochs: a fraction", ({ training }) => (training.epochs = 1.5)],
    ["epochsDone: negative", ({ training }) => (training.epochsDone = -1)],
    ["dataHash: a number", ({ training }) => (training.dataHash = 3)],
    ["recipe: null", ({ training }) => (training.recipe = null as never)],
    ["recipe: an array", ({ training }) => (training.recipe = [] as never)],
    ...[
      "batchSize",
      "learningRate",
      "momentum",
      "nesterov",
      "schedule",
      "milestones",
      "gamma",
      "cropPadding",
      "shuffle",
      "precision",
      "seed",
    ].map((key): [string, (model: Record) => void] => [`recipe.${key}: an object`, ({ training }) => (training.recipe[key] = {})]),
    ["training: a text", (model) => (model.training = "yes" as never)],
  ])("%s", async (_, change) => {
    const { tensors, metadata } = await readSafetensors(sound);
    const model = JSON.parse(metadata.get("model") as string) as Record;
    change(model);
    const damaged = newFile();
    const inputs = [...tensors].map(([name, tensor]) => ({ name, ...tensor }));
    await writeSafetensors(damaged, inputs, { metadata: new Map([...metadata, ["model", JSON.stringify(model)]]) });
    const network = await tinyNetwork({ seed: 3 });
    const resume = { ...recipe, milestones: [1], epochs: 3, checkpoint: damaged, resume: true };
    const error = await libraryFailureOf(() => network.fit(train, resume));
    expect(error.code).toBe("ERR_CORRUPT_FILE");
    expect(error.message).toMatch(/: training[.:[]/);
    expect(error.message.length).toBeLessThan(400);
    network.dispose();
  });
});

describe("a damaged checkpoint is refused and left where it is", () => {
  const intact = directory.path("intact.safetensors");
  beforeAll(async () => {
    await trained({ checkpoint: intact }, 1);
  });
  const rename = (from: string, to: string) => (bytes: Buffer) => Buffer.from(bytes.toString("latin1").replaceAll(from, to), "latin1");

  test.each<[string, (bytes: Buffer) => Buffer]>([
    ["cut short", (bytes) => bytes.subarray(0, bytes.length - 1000)],
    ["empty", () => Buffer.alloc(0)],
    ["only the header's length", (bytes) => bytes.subarray(0, 8)],
    ["another format", rename("libtorch-ood/resnet", "libtorch-ood/rosnet")],
    ["a weight under another name", rename('"fc.bias"', '"fc.bios"')],
    ["a momentum under another name", rename('"optimizer.momentum.fc.bias"', '"optimizer.momentum.fc.bios"')],
    ["a history that does not fit", rename('\\"epochsDone\\":1', '\\"epochsDone\\":2')],
    ["a negative standard deviation", rename('\\"std\\":[0.3]', '\\"std\\":[-3 ]')],
    [
      "NaN among the weights",
      (bytes) => {
        const copy = Buffer.from(bytes);
        copy.fill(0xff, 8 + Number(copy.readBigUInt64LE(0)), 64 + Number(copy.readBigUInt64LE(0)));
        return copy;
      },
    ],
  ])("%s", async (_, damage) => {
    const path = newFile();
    const bytes = damage(readFileSync(intact));
    expect(bytes.equals(readFileSync(intact))).toBe(false);
    writeFileSync(path, bytes);
    const error = await libraryFailureOf(() => trained({ checkpoint: path, resume: true }, 2));
    expect(error.code).toBe("ERR_CORRUPT_FILE");
    expect(error.message).toMatch(/checkpoint/);
    expect(readFileSync(path).equals(bytes)).toBe(true);
  });
});

describe("a disk that does not take the checkpoint ends the run with ERR_IO", () => {
  test("the directory vanishes in mid-training; the callbacks stop, the network stays usable", async () => {
    const folder = directory.path("vanishing");
    mkdirSync(folder);
    const model = await tinyNetwork();
    const seen: number[] = [];
    const onEpoch = ({ epoch }: { epoch: number }) => {
      seen.push(epoch);
      if (epoch === 2) rmSync(folder, { recursive: true });
    };
    const start = performance.now();
    const error = await libraryFailureOf(() =>
      model.fit(train, { ...recipe, epochs: 100000, checkpoint: `${folder}/c.safetensors`, onEpoch }),
    );
    expect(error.code).toBe("ERR_IO");
    expect(error.message).toContain("vanishing");
    expect(performance.now() - start).toBeLessThan(20_000);
    expect(seen.length).toBeLessThan(100);
    expect(model.training).toBe(false);
    expect(await model.fit(train, { ...recipe, epochs: 1 })).toHaveLength(1);
  });

  test("the only checkpoint, of the last epoch", async () => {
    const error = await libraryFailureOf(() => trained({ checkpoint: directory.path("absent/c.safetensors") }, 1));
    expect(error.code).toBe("ERR_IO");
  });

  // /dev/full is a disk that is always full; a file cannot be made there, but a file limit gives the same errors.
  const withoutRights = getuid?.() === 0 ? test.skip : test;
  withoutRights("a directory that may not be written to", async () => {
    const folder = directory.path("locked");
    mkdirSync(folder);
    chmodSync(folder, 0o500);
    const error = await libraryFailureOf(() => trained({ checkpoint: `${folder}/c.safetensors` }, 100));
    expect(error.code).toBe("ERR_IO");
    chmodSync(folder, 0o700);
  });
});

test("a checkpoint cut in half by hand does not resume as a shorter run", async () => {
  const path = newFile();
  await trained({ checkpoint: path }, 1);
  truncateSync(path, Math.floor(readFileSync(path).length / 2));
  expect(await libraryFailureOf(() => ResNet.load(path))).toMatchObject({ code: "ERR_CORRUPT_FILE" });
});
