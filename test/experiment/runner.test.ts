// The runner: rows say what the library's own functions say, measuring changes nothing, what differs or is missing is refused, failures are told.

import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { Dataset, datasets, GaussianMixture, metrics, neuralCollapse, ResNet, scores, type Tensor } from "../../lib";
import { conform } from "../../lib/data/conform";
import type { DatasetArrays } from "../../lib/data/dataset";
import { isLease, tryLease } from "../../lib/formats/lease";
import type { DatasetReader } from "../../lib/experiment/data";
import { planOf } from "../../lib/experiment/plan";
import { resolveConfiguration } from "../../lib/experiment/configuration";
import * as experiments from "../../lib/experiment";
import type { ExperimentEvent, ExperimentOptions } from "../../lib/experiment";
import type { MeasurementRow } from "../../lib/experiment/rows";
import type { ImageResize } from "../../lib/images/geometry";
import { dataHash } from "../../lib/data/data-hash";
import { temporaryDirectory } from "../support/temporary-directory";
import { libraryFailureOf, useOneThread } from "../models/resnet/tiny-network";
import { comparable, readers, readRows, smallExperiment } from "./tiny-experiment";

const folder = temporaryDirectory();
useOneThread();

const one = { ...smallExperiment, seeds: 1, cells: [{ depth: 18, l2Normalize: true, epochs: 3, milestones: [2] }] } as const;
const run = (configuration: object, name: string, options: Partial<ExperimentOptions> = {}) =>
  experiments.run(configuration as typeof one, { data: "", out: folder.path(name), readers, ...options });
const finalRow = (name: string): MeasurementRow => readRows(folder.path(name)).rows.find(({ final }) => final) as MeasurementRow;
const form = { channels: 1, imageSize: 8 };
/** A reader of the same set, but for this. */
const changed = (read: DatasetReader["test"], change: (set: Dataset) => Partial<DatasetArrays>) => async () => {
  const set = await read("", form);
  const { images, labels, shape, classNames, normalization } = set;
  return Dataset.fromArrays({ images, labels, shape, classNames, normalization, ...change(set) });
};

describe("a row", () => {
  beforeAll(() => run(one, "one"));

  it("says what the public functions say of a network that was trained without measuring", async () => {
    const whole = await (readers.cifar10?.train as () => Promise<Dataset>)();
    const test = await (readers.cifar10?.test as () => Promise<Dataset>)();
    const svhn = await (readers.svhn?.test as () => Promise<Dataset>)();
    const { train, validation } = whole.split(0.1, 0);
    const model = await ResNet.create({ numClasses: 3, inChannels: 1, imageSize: 8, width: 0.0625, seed: 1 });
    const options = { milestones: [2], batchSize: 64, augmentation: "crop-flip", seed: 1, validation } as const;
    const history = await model.fit(train, { epochs: 3, ...options });
    const [seen, inside, outside] = [await model.extract(train), await model.extract(test), await model.extract(svhn)];
    const mixture = await GaussianMixture.fit(seen.features, seen.labels);
    const overFeatures = [await mixture.logDensity(inside.features), await mixture.logDensity(outside.features)] as const;
    const weight = (await model.weights()).get("fc.weight") as Tensor;
    const logits = (tensor: Tensor) => ({ data: tensor.toArray() as Float32Array, shape: tensor.shape });
    const row = finalRow("one");

    expect(row.loss).toBe(history[2]?.loss);
    expect(row.validationAccuracy).toBe(history[2]?.validationAccuracy);
    expect(row.learningRate).toBe(history[2]?.learningRate);
    expect(row.accuracy).toBe(metrics.accuracy(metrics.predictedClass(logits(inside.logits)), test.labels));
    expect(row.ood.svhn?.["gaussian-mixture"]).toEqual({
      auroc: metrics.auroc(...overFeatures),
      auprIn: metrics.aupr(...overFeatures),
      auprOut: metrics.aupr(...overFeatures, { positive: "out" }),
      fpr95: metrics.fprAtTpr(...overFeatures, { positive: "in" }),
      falsePositives: metrics.falsePositivesAmongTop(...overFeatures),
    });
    const softmax = [metrics.softmaxConfidence(logits(inside.logits)), metrics.softmaxConfidence(logits(outside.logits))] as const;
    expect(row.ood.svhn?.["max-softmax"]?.auroc).toBe(metrics.auroc(...softmax));
    const overLogits = await GaussianMixture.fit(seen.logits, seen.labels);
    const densities = [await overLogits.logDensity(inside.logits), await overLogits.logDensity(outside.logits)] as const;
    expect(row.ood.svhn?.["gaussian-mixture:logits"]?.auroc).toBe(metrics.auroc(...densities));
    expect(await neuralCollapse.measure({ features: seen.features, labels: seen.labels, weight })).toMatchObject({
      ...row.collapse,
      nc4: expect.any(Number),
    });
    const { values, count } = await neuralCollapse.singularValues(seen.features, { k: 20 });
    row.singularValues?.train?.forEach((value, i) => expect(value).toBeCloseTo((values[i] as number) / Math.sqrt(count), 10));
    expect(row.samples?.test?.logDensity).toEqual(Array.from({ length: 10 }, (_, i) => overFeatures[0][6 * i]));
    model.dispose();
  });

  it("is there for every epoch, once, and a second run has nothing to do", async () => {
    const before = comparable(folder.path("one"));
    expect(readRows(folder.path("one")).rows.map(({ epoch, final }) => [epoch, final])).toEqual([[1, false], [2, false], [3, true]]); // prettier-ignore
    const events: ExperimentEvent["type"][] = [];
    await run(one, "one", { onProgress: ({ type }) => events.push(type) });
    expect(events).toEqual(["planned"]);
    expect(comparable(folder.path("one"))).toEqual(before);
  });

  it("of more epochs can be asked for later: the network is trained again, and its rows are the same", async () => {
    const every = (n: number) => ({ ...one, measurements: { samples: 10, every: n } });
    await run(every(3), "later");
    expect(readRows(folder.path("later")).rows).toHaveLength(1);
    await run(every(1), "later");
    expect(comparable(folder.path("later"))).toEqual(comparable(folder.path("one")));
  });
});

it("a class with few samples is named with the estimator that was used", async () => {
  await run({ ...one, subset: { train: 60 } }, "few");
  const row = finalRow("few");
  expect(row.scaled).toContain("60 training images");
  expect(row.scaled).toContain("mixture over features: ledoit-wolf covariance, a class has no more samples than the 32 dimensions");
  await run({ ...one, subset: { train: 60 }, mixture: { fewSamples: "full" } }, "singular");
  expect(finalRow("singular").jitter).toBeGreaterThan(0);
  expect(finalRow("singular").jitter).toBeLessThan(1);
});

it("a class with one training image: its jitter is told in units of the variance within all classes", async () => {
  const cifar10 = readers.cifar10 as DatasetReader;
  const train = changed(cifar10.train as DatasetReader["test"], ({ labels }) => ({ labels: labels.map((_, i) => (i === 0 ? 2 : i % 2)) }));
  await run({ ...one, mixture: { fewSamples: "full" } }, "single", { readers: { ...readers, cifar10: { ...cifar10, train } } });
  const { jitter } = finalRow("single");
  expect(jitter).toBeGreaterThan(0);
  expect(Number.isFinite(jitter)).toBe(true);
});

describe("refuses", () => {
  it("results of another scale in the same folder, before anything is trained", async () => {
    await run(one, "scale");
    const before = comparable(folder.path("scale"));
    const error = await libraryFailureOf(() => run({ ...one, scale: { ...one.scale, batchSize: 32 } }, "scale"));
    expect(error).toMatchObject({ code: "ERR_OPTION", message: expect.stringContaining("scale.batchSize (64 there, 32 here)") });
    expect(comparable(folder.path("scale"))).toEqual(before);
  });

  it("data sets that are not there, all by name; skips them when asked, and never mixes the two", async () => {
    const absent = (name: string) => ({ test: () => datasets.cifar10(folder.path(name)).then(({ test }) => test) });
    const some = { ...readers, svhn: absent("no-svhn"), cifar100: absent("no-cifar100") };
    const wanted = { ...one, outOfDistribution: ["svhn", "tiny-imagenet", "cifar100"] };
    const error = await libraryFailureOf(() => run(wanted, "missing", { readers: some }));
    expect(error.code).toBe("ERR_IO");
    expect(error.message).toMatch(/svhn \(cannot find .*; cifar100 \(cannot find/s);
    const { skipped } = await run(wanted, "missing", { readers: some, skipMissing: true });
    expect(skipped).toEqual(["svhn", "cifar100"]);
    expect(Object.keys(finalRow("missing").ood)).toEqual(["tiny-imagenet"]);
    await expect(run(wanted, "missing")).rejects.toMatchObject({ code: "ERR_OPTION" });
    await expect(run(wanted, "none", { readers: { ...some, "tiny-imagenet": absent("x") }, skipMissing: true })).rejects.toMatchObject({
      code: "ERR_IO",
    });
  });

  it("names that it has no reader for, images that cannot be made those of the training set, a subset larger than its set", async () => {
    await expect(run({ ...one, outOfDistribution: ["imagenet"] }, "x")).rejects.toMatchObject({ code: "ERR_OPTION" });
    await expect(run({ ...one, outOfDistribution: ["kmnist"] }, "x")).rejects.toMatchObject({ code: "ERR_OPTION" });
    const odd = {
      test: async () => Dataset.fromArrays({ images: new Uint8Array(384), labels: [0, 1, 2], shape: [2, 8, 8], name: "SVHN" }),
    };
    await expect(run(one, "x", { readers: { ...readers, svhn: odd } })).rejects.toMatchObject({
      code: "ERR_SHAPE",
      message: expect.stringContaining("SVHN: expected images of 8×8×1, found 8×8×2"),
    });
    await expect(run({ ...one, subset: { train: 181 } }, "x")).rejects.toMatchObject({ code: "ERR_RANGE" });
  });

  it("a set whose images are trained on (trap 6), before anything is trained; a single one is a warning", async () => {
    const { train, test } = readers.cifar10 as Required<DatasetReader>;
    const again = { ...readers, svhn: { test: train } };
    const error = await libraryFailureOf(() => run(one, "seen", { readers: again }));
    // Of the 180 those are not trained on that are held out for validation, a tenth.
    expect(error).toMatchObject({
      code: "ERR_OPTION",
      message: expect.stringMatching(/^svhn: expected images that were not trained on, found 162 of 180/),
    });
    await expect(run(one, "seen", { readers: { ...readers, cifar10: { train, test: train } } })).rejects.toMatchObject({
      message: expect.stringMatching(/^test: expected images that were not trained on/),
    });
    expect(existsSync(folder.path("seen"))).toBe(false);

    const [known, held] = [await train(""), await test("", form)];
    const { share, seed } = resolveConfiguration(one, "one").validation;
    const found = known.split(share, seed).train.image(5);
    const images = new Uint8Array(100 * 64).map((_, i) => (i * i) % 251);
    images.set(found, 64 * 7);
    const mixed = Dataset.fromArrays({ images, labels: new Int32Array(100), shape: held.shape });
    const told: string[] = [];
    const onProgress = (event: ExperimentEvent) => event.type === "planned" && told.push(...event.warnings);
    await run(one, "warned", { readers: { ...readers, svhn: { test: () => Promise.resolve(mixed) } }, onProgress });
    expect(told).toEqual([
      "svhn: 1 of 100 (the first is number 7) images were trained on: they score higher than they should, and the numbers are worse than the truth",
    ]);
  });
});

describe("the data", () => {
  const split = { share: 0.25, seed: 7 };
  const short = { ...one, outOfDistribution: ["svhn"], validation: split, cells: [{ depth: 18, l2Normalize: true, epochs: 1 }] };
  const { cifar10, svhn } = readers as Record<"cifar10" | "svhn", Required<DatasetReader>>;
  beforeAll(() => run(short, "data"));

  it("is told in the header, each set as it is used", async () => {
    const { train, validation } = (await cifar10.train("")).split(split.share, split.seed);
    const sets = { train, validation, test: await cifar10.test("", form), svhn: await svhn.test("", form) };
    const hashes = await Promise.all(Object.entries(sets).map(async ([name, set]) => [name, await dataHash([set])]));
    expect(readRows(folder.path("data")).header.configuration).toMatchObject({ data: Object.fromEntries(hashes) as object });
  });

  it("of another split, image or label is refused beside these results, before anything is trained (trap 6)", async () => {
    const before = comparable(folder.path("data"));
    const refusal = async (configuration: object, others: Partial<typeof readers> = {}) =>
      (await libraryFailureOf(() => run(configuration, "data", { readers: { ...readers, ...others } as typeof readers }))).message;
    const resplit = await refusal({ ...short, validation: { ...split, seed: 8 } });
    for (const part of ["validation.seed (7 there, 8 here)", "data.train (", "data.validation ("]) expect(resplit).toContain(part);
    expect(resplit).not.toContain("data.test");

    const image = (index: number) => (set: Dataset) => ({
      images: set.images.map((byte, i) => (i === index * 64 ? byte ^ 1 : byte)),
    });
    const label = (index: number) => (set: Dataset) => ({
      labels: set.labels.map((value, i) => (i === index ? (value + 1) % 3 : value)),
    });
    const { validationIndices } = (await cifar10.train("")).split(split.share, split.seed);
    const held = validationIndices[3] as number;
    const trained = Array.from({ length: 180 }, (_, i) => i).find((i) => !validationIndices.includes(i)) as number;
    for (const change of [image, label]) {
      const others = {
        train: { cifar10: { ...cifar10, train: changed(cifar10.train, change(trained)) } },
        validation: { cifar10: { ...cifar10, train: changed(cifar10.train, change(held)) } },
        test: { cifar10: { ...cifar10, test: changed(cifar10.test, change(4)) } },
        svhn: { svhn: { test: changed(svhn.test, change(4)) } },
      };
      for (const [name, reader] of Object.entries(others)) {
        expect(await refusal(short, reader)).toMatch(new RegExp(`it differs in data\\.${name} \\([^,]*, [^,]*\\)\\. Choose another`));
      }
    }
    expect(comparable(folder.path("data"))).toEqual(before);
  });
});

it("says in the header how images came to their size (trap 7), which is no other configuration", async () => {
  const resize = { mode: "squash", kernel: "antialiased-bilinear" } as const;
  const { cifar10, svhn } = readers as Record<"cifar10" | "svhn", Required<DatasetReader>>;
  const told = (read: DatasetReader["test"], mode: ImageResize) => changed(read, () => ({ resize: { ...resize, mode } }));
  const resized = {
    cifar10: { train: told(cifar10.train, "none"), test: told(cifar10.test, "center-crop") },
    svhn: { test: told(svhn.test, "squash") },
  };
  await run(one, "resized", { readers: { ...readers, ...resized } });
  const { header } = readRows(folder.path("resized"));
  const none = { ...resize, mode: "none" };
  expect(header.configuration).toMatchObject({
    resized: { train: none, validation: none, test: { ...resize, mode: "center-crop" }, svhn: resize },
  });
  await run(one, "resized");
});

describe("sets of one's own", () => {
  const picture = async (set: Dataset, index: number, place: string) => {
    mkdirSync(place, { recursive: true });
    const [channels, height, width] = set.shape;
    const pixels = sharp(Buffer.from(set.image(index)), { raw: { channels: channels as 1, height, width } });
    await pixels.png().toFile(join(place, `${index}.png`));
  };
  const folderOf = async (name: string, set: Dataset, count: number) => {
    for (let i = 0; i < count; i++) await picture(set, i, folder.path(`${name}/${set.classNames[set.labels[i] as number]}`));
  };
  const { cifar10, svhn } = readers as Record<"cifar10" | "svhn", Required<DatasetReader>>;
  beforeAll(async () => {
    await folderOf("mine/train", await cifar10.train(""), 120);
    await folderOf("mine/test", await cifar10.test("", form), 30);
    await folderOf("columns", await svhn.test("", form), 20);
  });

  it("out of distribution: a folder by its name or another, made what the network takes, and the header says so", async () => {
    const outOfDistribution = ["svhn", "folder:columns", `Rows & columns=${folder.path("columns")}`];
    await run({ ...one, outOfDistribution }, "own sets", { data: folder.path(".") });
    const { ood } = finalRow("own sets");
    expect(Object.keys(ood)).toEqual(["svhn", "columns", "Rows & columns"]);
    expect(ood["columns"]).toEqual(ood["Rows & columns"]);
    const wide = { test: async () => changed(svhn.test, () => ({}))().then((set) => conform(set, { channels: 3, imageSize: 12 })) };
    await run({ ...one, outOfDistribution: ["svhn"] }, "wide", { readers: { ...readers, svhn: wide } });
    expect(readRows(folder.path("wide")).header.configuration).toMatchObject({
      conformed: { svhn: [3, 12, 12] },
      resized: { svhn: { mode: "center-crop", kernel: "antialiased-bilinear" } },
    });
  });

  it("in distribution: a folder with train and test in it, of the size that was asked for", async () => {
    const mine = {
      ...one,
      inDistribution: "Mine=mine",
      outOfDistribution: ["folder:columns"],
      imageSize: 8,
      cells: [{ depth: 18, epochs: 1 }],
    };
    await run(mine, "mine runs", { data: folder.path(".") });
    const { header, rows } = readRows(folder.path("mine runs"));
    expect(header.configuration).toMatchObject({
      inDistribution: "Mine",
      outOfDistribution: ["columns"],
      classNames: ["lower", "middle", "upper"],
    });
    expect(rows[0]).toMatchObject({ inDistribution: "Mine", cell: { l2Normalize: true, name: "resnet18 sn+leaky L2 1" } });
    await folderOf("odd/train", await cifar10.train(""), 30);
    await picture(await cifar10.test("", form), 0, folder.path("odd/test/upper"));
    const error = await libraryFailureOf(() => run({ ...mine, inDistribution: "folder:odd" }, "odd runs", { data: folder.path(".") }));
    expect(error).toMatchObject({
      code: "ERR_OPTION",
      message: expect.stringContaining("only in training: lower, middle; only in test: none"),
    });
  });

  it("any name of a folder is a name", async () => {
    const outOfDistribution = ["__proto__=columns", "constructor=columns"];
    await run({ ...one, outOfDistribution, cells: [{ depth: 18, epochs: 1 }] }, "odd names", { data: folder.path(".") });
    const { header } = readRows(folder.path("odd names"));
    expect(Object.keys(finalRow("odd names").ood)).toEqual(["__proto__", "constructor"]);
    expect(Object.keys((header.configuration as { data: object }).data)).toEqual([
      "train",
      "validation",
      "test",
      "__proto__",
      "constructor",
    ]);
  });
});

it("a preview reads and refuses what a run does, and writes nothing", async () => {
  const preview = (configuration: object, name: string, options: Partial<ExperimentOptions> = {}) =>
    experiments.preview(configuration as typeof one, { data: folder.path("."), out: folder.path(name), readers, ...options });
  const { plan, data } = await preview(one, "previewed");
  expect([plan.runs.length, data.train.length, [...data.ood.keys()]]).toEqual([1, 162, ["svhn", "cifar100"]]);
  expect(existsSync(folder.path("previewed"))).toBe(false);
  await preview(one, "previewed/below");
  expect(existsSync(folder.path("previewed"))).toBe(false);
  folder.put("a file", "");
  for (const name of ["a file", "a file/below"]) {
    expect(await libraryFailureOf(() => preview(one, name, { readers: {} }))).toMatchObject({ code: "ERR_IO" }); // before data sets are read
  }
  const scaled = { ...one, scale: { ...one.scale, batchSize: 32 } };
  for (const [configuration, name] of [
    [{ ...one, outOfDistribution: ["folder:nowhere"] }, "previewed"],
    [{ ...one, outOfDistribution: ["dtd"] }, "previewed"],
    [{ ...one, subset: { train: 1000 } }, "previewed"],
    [scaled, "one"],
  ] as const) {
    const expected = await libraryFailureOf(() => run(configuration, name, { data: folder.path(".") }));
    expect(await libraryFailureOf(() => preview(configuration, name))).toMatchObject({ code: expected.code, message: expected.message });
  }
});

it("a device that is unavailable is refused before data sets are read, by a preview too", async () => {
  const options = { data: "", out: folder.path("elsewhere"), device: "cuda:99", readers: {} };
  for (const start of [experiments.preview, experiments.run]) {
    const { code, message } = await libraryFailureOf(() => start(one, options));
    expect([code, message]).toEqual(["ERR_DEVICE", expect.stringMatching(/^device: "cuda:99" is unavailable/)]);
  }
  expect(existsSync(folder.path("elsewhere"))).toBe(false);
});

it("tells of a network that diverges, and goes on with the others", async () => {
  const events: ExperimentEvent[] = [];
  const configuration = { ...one, training: { learningRate: 1e30 }, cells: [{ ...one.cells[0], l2Normalize: [true, false] }] };
  const { failed, finished } = await run(configuration, "diverges", { onProgress: (event) => events.push(event) });
  expect(failed.length + finished.length).toBe(2);
  expect(failed.length).toBeGreaterThan(0);
  for (const { error } of failed) expect(error.message).toMatch(/^resnet18 sn\+leaky (no)?L2 3, seed 1: /);
  expect(events.filter(({ type }) => type === "started")).toHaveLength(2);
});

it("stops when told to, and goes on from there", async () => {
  const stop = new AbortController();
  const onProgress = ({ type }: ExperimentEvent): void => {
    if (type === "measured") stop.abort();
  };
  await expect(run(one, "stopped", { signal: stop.signal, onProgress })).rejects.toMatchObject({ code: "ERR_ABORTED" });
  expect(readRows(folder.path("stopped")).rows).toHaveLength(1);
  const events: ExperimentEvent[] = [];
  await run(one, "stopped", { onProgress: (event) => events.push(event) });
  const epochs = events.flatMap((event) => (event.type === "batch" ? [event.report.epoch] : []));
  expect(Math.min(...epochs)).toBe(2); // the first epoch is not trained again
  expect(comparable(folder.path("stopped"))).toEqual(comparable(folder.path("one")));
});

it("leaves to another process what it holds, and takes it up when that one is gone", async () => {
  const out = folder.path("shared");
  const { id } = planOf(resolveConfiguration(one, "it")).runs[0] as { id: string };
  const lease = await tryLease(folder.path("shared/leases"), id);
  if (!isLease(lease)) throw new Error("nobody else is there");
  const types: string[] = [];
  await experiments.run(one, {
    ...{ data: "", out, readers },
    onProgress: ({ type }) => {
      types.push(type);
      if (type === "waiting") void lease.release();
    },
  });
  expect(types.slice(0, 3)).toEqual(["planned", "waiting", "started"]);
  expect(comparable(out)).toEqual(comparable(folder.path("one")));
});

it("resumes from the folder alone", async () => {
  const stop = new AbortController();
  const onProgress = ({ type }: ExperimentEvent): void => {
    if (type === "measured") stop.abort();
  };
  await expect(run(one, "resumed", { signal: stop.signal, onProgress })).rejects.toMatchObject({ code: "ERR_ABORTED" });
  const { finished } = await experiments.resume(folder.path("resumed"), { data: "", readers });
  expect(finished).toHaveLength(1);
  expect(comparable(folder.path("resumed"))).toEqual(comparable(folder.path("one")));
  await expect(experiments.resume(folder.path("nothing"), { data: "", readers })).rejects.toMatchObject({ code: "ERR_IO" });
});

it("measures any score of the registry, over any of the network's outputs, as its own functions do", async () => {
  const measured = ["energy", "vim", "mahalanobis:logits", "nearest-neighbours", "feature-norm", "mahalanobis:rawFeatures"] as const;
  await run({ ...one, measurements: { scores: [...measured] } }, "scores");
  const model = await ResNet.create({ numClasses: 3, inChannels: 1, imageSize: 8, width: 0.0625, seed: 1 });
  const { train, validation } = (await (readers.cifar10?.train as () => Promise<Dataset>)()).split(0.1, 0);
  await model.fit(train, { epochs: 3, milestones: [2], batchSize: 64, augmentation: "crop-flip", seed: 1, validation });
  const all = { outputs: ["features", "rawFeatures", "logits"] } as const;
  const [seen, inside, outside] = [
    await model.extract(train, all),
    await model.extract(await (readers.cifar10?.test as () => Promise<Dataset>)(), all),
    await model.extract(await (readers.svhn?.test as () => Promise<Dataset>)(), all),
  ];
  const results = finalRow("scores").ood.svhn as Record<string, { auroc: number }>;
  expect(Object.keys(results)).toEqual([...measured]);
  const training = { ...seen, ...(await model.head()) };
  const fitted = {
    energy: await scores.fit("energy", training),
    vim: await scores.fit("vim", training),
    "mahalanobis:logits": await scores.fit("mahalanobis", training, { from: "logits" }),
    "nearest-neighbours": await scores.fit("nearest-neighbours", training),
    "feature-norm": await scores.fit("feature-norm", training),
    "mahalanobis:rawFeatures": await scores.fit("mahalanobis", training, { from: "rawFeatures" }),
  };
  for (const score of measured) {
    expect(results[score]?.auroc).toBe(metrics.auroc(await fitted[score].score(inside), await fitted[score].score(outside)));
  }
});

it("removes the checkpoints that a run killed after its last row has left", async () => {
  const { id } = planOf(resolveConfiguration(one, "it")).runs[0] as { id: string };
  const left = folder.path(`one/checkpoints/${id}`);
  mkdirSync(left, { recursive: true });
  writeFileSync(join(left, "training.safetensors"), "of a run that is over");
  await run(one, "one");
  expect(existsSync(left)).toBe(false);
});

it("keeps the weights where that is asked for", async () => {
  await run(one, "kept", { keepCheckpoints: true });
  const { id } = planOf(resolveConfiguration(one, "it")).runs[0] as { id: string };
  const model = await ResNet.load(folder.path(`kept/networks/${id}/training.safetensors`));
  expect(model.classNames).toEqual(["upper", "middle", "lower"]);
  model.dispose();
  rmSync(folder.path("kept"), { recursive: true });
});
