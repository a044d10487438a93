// train, fit, evaluate, score and extract one after the other, as a user runs them, on the digits and clothes of examples/data.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { datasets, Detector, metrics, ResNet, type EpochReport, type Evaluation, type Prediction } from "../../lib";
import { randomSubset } from "../../lib/cli/data-sets";
import { readNpy } from "../../lib/formats/npy";
import { readSafetensors, toValues } from "../../lib/formats/safetensors";
import { temporaryDirectory } from "../support/temporary-directory";
import { useOneThread } from "../models/resnet/tiny-network";
import { cli, clothes, dataDirectory, digits, good, json, smallTraining } from "./command";

useOneThread();
const directory = temporaryDirectory();
const network = directory.path("network.safetensors");
const detector = directory.path("detector.safetensors");
const held = ["--subset", "1500", "--seed", "3", "--calibration", "0.2"];

interface Trained {
  model: string;
  images: number;
  classNames: string[];
  architecture: Record<string, unknown>;
  epochs: EpochReport[];
}

beforeAll(async () => {
  const args = ["train", digits, "--epochs", "4", "--milestones", "3", "--validation", "0.2", "--temperature", "0.1"];
  const trained = await json<Trained>([...args, ...smallTraining, "--out", network]);
  expect(trained).toMatchObject({
    model: network,
    images: 1500,
    architecture: { numClasses: 10, imageSize: 28, inChannels: 1, width: 0.0625 },
  });
  expect(trained.epochs).toHaveLength(4);
  expect(trained.epochs.at(-1)!.validationAccuracy).toBeGreaterThan(0.5); // chance is 0.1
  await good(["fit", network, digits, ...held, "--covariance", "ledoit-wolf", "--threads", "1", "--out", detector]);
});

test("fit holds out the images that train held out, and Detector.fit is what it calls", async () => {
  const { train } = await datasets.mnist(dataDirectory, { prefix: "mnist-", splits: ["train"] });
  const { train: fitted, validation } = randomSubset(train, 1500, 3).split(0.2, 3);
  const model = await ResNet.load(network);
  const direct = await Detector.fit(model, fitted, {
    calibration: validation,
    precision: "auto",
    scoreOptions: { covariance: "ledoit-wolf" },
  });
  const loaded = await Detector.load(detector);
  expect(loaded.calibrationHash).toBe(direct.calibrationHash);
  expect(Array.from(loaded.calibrationScores)).toEqual(Array.from(direct.calibrationScores));
});

test("evaluate: the numbers of metrics.evaluate, as JSON and as a table", async () => {
  type Printed = Evaluation & { test: { accuracy: number; flagged: number; count: number }; sets: Record<string, { flagged: number }> };
  const args = ["evaluate", detector, "--test", digits, "--ood", clothes, "--threads", "1"];
  const printed = await json<Printed>(args);
  const { test: known } = await datasets.mnist(dataDirectory, { prefix: "mnist-", splits: ["test"] });
  const { test: strange } = await datasets.fashionMnist(dataDirectory, { prefix: "fashion-", splits: ["test"] });
  const loaded = await Detector.load(detector);
  const [inside, outside] = [await loaded.predict(known), await loaded.predict(strange)];
  const score = (answers: Prediction[]) => answers.map((answer) => answer.score);
  const { sets } = metrics.evaluate(score(inside), { "Fashion-MNIST": score(outside) });
  expect(printed.sets["Fashion-MNIST"]!.auroc).toBeCloseTo(sets["Fashion-MNIST"]!.auroc, 6); // pieces of another size: the last bits of a score
  expect(printed.sets["Fashion-MNIST"]!.auroc).toBeGreaterThan(0.6);
  expect(printed.sets["Fashion-MNIST"]!.flagged).toBeCloseTo(outside.filter((answer) => answer.outOfDistribution).length / 1000, 2);
  const right = inside.filter(({ label }, i) => label === known.labels[i]).length / 1000;
  expect(printed.test).toMatchObject({ count: 1000, accuracy: right });
  const { stdout } = await good(args);
  expect(stdout).toMatch(/^set +images +AUROC +AUPR-in +AUPR-out +FPR95 +flagged$/m);
  expect(stdout).toMatch(new RegExp(`^Fashion-MNIST +1000 +${printed.sets["Fashion-MNIST"]!.auroc.toFixed(4)} `, "m"));
});

describe("images that were seen before, and another split (trap 6)", () => {
  const out = directory.path("other.safetensors");
  const again = ["--test", `${digits}#train`, "--ood", clothes, "--subset", "200", "--seed", "5", "--threads", "1"];
  type Printed = Evaluation & { test: { seen: number }; sets: Record<string, { seen: number }> };
  const asked = async () => {
    const { train } = await datasets.mnist(dataDirectory, { prefix: "mnist-", splits: ["train"] });
    return randomSubset(train, 200, 5);
  };
  const seenBy = async (subject: Pick<ResNet, "overlap">) => (await subject.overlap(await asked())).indices.length;

  test("fit: a share that train held out by another seed is refused, and taken with a warning where that is asked for", async () => {
    const split = ["fit", network, digits, "--subset", "1500", "--seed", "4", "--calibration", "0.2", "--score", "energy", "--out", out];
    const { code, stderr } = await cli(split);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^ERR_OPTION: calibration: .*was it trained on another split\?/)]);
    expect(existsSync(out)).toBe(false);
    const taken = await good([...split, "--allow-overlap", "--resize", "squash"]);
    expect((await Detector.load(out)).resize).toBe("squash");
    expect(taken.stderr).toMatch(/^warning: calibration: .*the false-alarm rate does not hold$/m);
    expect(taken.stderr).toMatch(/^warning: train: .*was it trained on another split\?/m);
  });

  test.each([
    ["a detector", () => [detector], async () => seenBy(await Detector.load(detector))],
    ["a network", () => [network], async () => seenBy(await ResNet.load(network))],
    ["a network whose score is fitted to them", () => [network, "--score", "nearest-neighbours", "--train", digits], async () => 200],
  ])("evaluate %s: refused, and taken with a warning where that is asked for", async (_, file, wanted) => {
    const { code, stdout, stderr } = await cli(["evaluate", ...file(), ...again]);
    expect([code, stdout, stderr]).toEqual([
      1,
      "",
      expect.stringMatching(/^ERR_OPTION: .*#train: expected images that were not trained on/),
    ]);
    const args = ["evaluate", ...file(), ...again, "--allow-overlap"];
    const seen = await wanted();
    expect(seen).toBeGreaterThan(20);
    expect((await json<Printed>(args)).test.seen).toBe(seen);
    expect((await good(args)).stderr).toMatch(new RegExp(`^warning: .*#train: ${seen} of 200 .* the numbers flatter$`, "m"));
  });

  test("evaluate a network: what it was trained on counts, and what its score is fitted to, where it is fitted", async () => {
    const seen = await seenBy(await ResNet.load(network));
    const args = ["evaluate", network, ...again, "--train", `${clothes}#test`, "--allow-overlap", "--score"];
    const fitted = await json<Printed>([...args, "nearest-neighbours"]);
    expect([fitted.test.seen, fitted.sets["Fashion-MNIST"]?.seen]).toEqual([seen, 200]);
    const unfitted = await json<Printed>([...args, "energy"]);
    expect([unfitted.test.seen, unfitted.sets["Fashion-MNIST"]?.seen]).toEqual([seen, 0]);
  });

  test("evaluate: the other sets are looked at too; fresh images give no warning", async () => {
    const asStrange = await cli(["evaluate", detector, "--test", digits, "--ood", `${digits}#train`, "--threads", "1"]);
    expect([asStrange.code, asStrange.stderr]).toEqual([1, expect.stringMatching(/^ERR_OPTION: .*#train: expected images/)]);
    const fresh = await good(["evaluate", detector, "--test", digits, "--ood", clothes, "--subset", "200", "--threads", "1"]);
    expect(fresh.stderr).not.toMatch(/warning/);
  });
});

test("evaluate a network: scores of logits at once, others fitted to --train, by a preset's choices", async () => {
  const sets = ["--test", digits, "--ood", clothes, "--subset", "200", "--threads", "1"];
  const softmax = await json<Evaluation & { score: string }>(["evaluate", network, ...sets]);
  expect(softmax).toMatchObject({ score: "max-softmax", sets: { "Fashion-MNIST": { count: 200 } } });
  const vim = await json<Evaluation & { score: string }>([
    "evaluate",
    network,
    "--score",
    "vim",
    "--train",
    digits,
    ...sets,
    "--preset",
    "openood-1.5",
  ]);
  expect(vim).toMatchObject({ score: "vim", preset: { name: "openood-1.5" }, choices: { auprPositive: "out" } });
  const { code, stderr } = await cli(["evaluate", network, "--score", "vim", ...sets]);
  expect([code, stderr]).toEqual([1, expect.stringMatching(/^ERR_OPTION: --train: expected the training images/)]);
});

describe("image files", () => {
  const folder = directory.path("images");
  beforeAll(async () => {
    const { test } = await datasets.mnist(dataDirectory, { prefix: "mnist-", splits: ["test"] });
    for (let i = 0; i < 12; i++) {
      const place = join(folder, String(test.labels[i]));
      mkdirSync(place, { recursive: true });
      const pixels = Buffer.from(test.image(i));
      await sharp(pixels, { raw: { width: 28, height: 28, channels: 1 } })
        .png()
        .toFile(join(place, `${i}.png`));
    }
    writeFileSync(join(folder, "notes.txt"), "no image");
  });

  test("score: one JSON line per image, those of Detector.predict; a broken one spoils no other, and the exit code is 1", async () => {
    const broken = directory.put("broken.png", "no image");
    const { code, stdout, stderr } = await cli(["score", detector, folder, broken, "--json", "--threads", "1"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^13 scored, \d+ out of distribution, 1 not readable$/m);
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Prediction & { image: string; error?: { code: string } });
    expect(lines).toHaveLength(13);
    expect(lines.at(-1)).toMatchObject({ image: broken, error: { code: "ERR_CORRUPT_FILE" } });
    const paths = lines.slice(0, -1).map(({ image }) => image);
    expect(paths).toEqual([...paths].sort());
    const answers = await (await Detector.load(detector)).predict(paths);
    answers.forEach((answer, i) => {
      expect(lines[i]).toMatchObject({ label: answer.label, className: answer.className, outOfDistribution: answer.outOfDistribution });
      expect(lines[i]!.pValue).toBeCloseTo(answer.pValue, 2);
    });
  });

  test("score as a table; --fail-on-ood ends with 3 where something is flagged, and with 0 where nothing is", async () => {
    const png = join(folder, "7", "0.png");
    const all = await cli(["score", detector, png, "--fail-on-ood", "--false-alarm-rate", "1", "--threads", "1"]);
    expect(all.code).toBe(3);
    expect(all.stdout).toMatch(
      /^verdict +p-value +confidence +score +class +image\nOUT OF DISTRIBUTION +[\d.]+ +[\d.]+ +\S+ +\d +.*0\.png\n$/,
    );
    const none = await cli(["score", detector, png, "--fail-on-ood", "--false-alarm-rate", "0.00333", "--threads", "1"]);
    expect([none.code, none.stderr]).toEqual([0, expect.stringMatching(/^1 scored, 0 out of distribution$/m)]);
  });

  test("extract: rows in the order of the listed paths, with labels by folder; the same numbers in both formats", async () => {
    const [npy, tensors] = [directory.path("extracted"), directory.path("extracted.safetensors")];
    const args = ["extract", network, folder, "--labels-from-folders", "--chunk-size", "5", "--threads", "1", "--out"];
    await good([...args, npy]);
    const printed = await json<{ count: number; images: string }>([...args, tensors]);
    expect(printed).toMatchObject({ count: 12, images: directory.path("extracted.images.txt") });
    const written = ["classes.txt", "extraction.json", "features.npy", "images.txt", "labels.npy", "logits.npy"];
    expect(readdirSync(npy).sort()).toEqual(written);
    const paths = readFileSync(join(npy, "images.txt"), "utf8").trim().split("\n");
    expect(readFileSync(printed.images, "utf8").trim().split("\n")).toEqual(paths);
    const [features, logits, labels] = await Promise.all(["features", "logits", "labels"].map((name) => readNpy(join(npy, `${name}.npy`))));
    const direct = await (await ResNet.load(network)).extract(paths, { precision: "auto" });
    expect(features!.shape).toEqual([12, 32]);
    expect(logits!.shape).toEqual([12, 10]);
    const expected = direct.features.toArray() as Float32Array;
    features!.data.forEach((value: number | bigint, i: number) => expect(value).toBeCloseTo(expected[i]!, 5));
    expect(Array.from(labels!.data, Number)).toEqual(paths.map((path) => Number(path.split("/").at(-2))));
    const file = await readSafetensors(tensors);
    expect([...file.tensors.keys()]).toEqual(["features", "logits", "labels"]);
    expect(toValues("F32", file.tensors.get("features")!.data)).toEqual(features!.data);
    expect(Array.from(toValues("I64", file.tensors.get("labels")!.data))).toEqual(Array.from(labels!.data, Number));
  });

  test("extract that fails leaves nothing behind under the names of its files", async () => {
    const out = directory.path("failed");
    const { code, stderr } = await cli([
      "extract",
      network,
      folder,
      directory.put("bad.png", "no image"),
      "--chunk-size",
      "4",
      "--out",
      out,
    ]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^ERR_CORRUPT_FILE: .*bad\.png/m)]);
    // What was computed is kept for --resume, under another name.
    for (const name of ["features.npy", "logits.npy", "images.txt"]) expect(existsSync(`${out}/${name}`)).toBe(false);
    expect((await cli(["extract", network, directory.path("nowhere"), "--out", out])).stderr).toMatch(/^ERR_IO: cannot read .*nowhere/);
  });
});

test("a detector over extracted features says what the detector over images says", async () => {
  const [training, calibration, fresh] = ["training.safetensors", "calibration", "fresh"].map((name) => directory.path(name)) as [
    string,
    string,
    string,
  ];
  const extract = (data: string, out: string, subset: string) =>
    good(["extract", network, "--data", data, "--subset", subset, "--seed", "9", "--threads", "1", "--out", out]);
  await extract(`${digits}#train`, training, "1000");
  await extract(digits, calibration, "300");
  await extract(clothes, fresh, "100");
  const out = directory.path("features-detector.safetensors");
  const fitted = await json<{ takes: string; score: string; calibration: { count: number } }>([
    "fit",
    "--features",
    training,
    "--calibration",
    calibration,
    "--score",
    "nearest-neighbours",
    "--score-option",
    "k=5",
    "--out",
    out,
  ]);
  expect(fitted).toMatchObject({ takes: "features", score: "nearest-neighbours", calibration: { count: 300 } });
  const { stdout } = await good(["score", out, "--features", fresh, "--json"]);
  expect(stdout.trim().split("\n")).toHaveLength(100);
  const labels = join(calibration, "labels.npy");
  const alone = await good([
    "fit",
    "--features",
    join(calibration, "features.npy"),
    "--labels",
    labels,
    "--calibration",
    join(fresh, "features.npy"),
    "--covariance",
    "tied",
    "--out",
    directory.path("alone.safetensors"),
  ]);
  expect(alone.stdout).toMatch(/^takes +features \(features\)$/m);
  const { code, stderr } = await cli(["score", detector, "--features", fresh]);
  expect([code, stderr]).toEqual([1, expect.stringMatching(/^ERR_OPTION: .*this detector takes images, found features/)]);
  expect(existsSync(out)).toBe(true);
});
