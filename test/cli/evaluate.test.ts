// `evaluate`: several scores at once, detectors and scores of features, sets of another form, and the names of sets.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { datasets, type Evaluation } from "../../lib";
import { temporaryDirectory } from "../support/temporary-directory";
import { cli, clothes, dataDirectory, digits, good, json } from "./command";

const directory = temporaryDirectory();
const network = directory.path("network.safetensors");
const [training, fresh, held] = [directory.path("train"), directory.path("fresh"), directory.path("held.safetensors")];
const strange = join(directory.path("."), "__proto__");
const threads = ["--threads", "1"];
type Sets = Record<string, Evaluation["sets"][string] & { madeFrom?: number[]; seen: number; flagged?: number }>;
interface Printed {
  score?: string;
  test: { name: string; count: number; accuracy?: number; seen: number; flagged?: number; madeFrom?: number[] };
  sets: Sets;
  groups: Evaluation["groups"];
  scores: Record<string, { sets: Sets; groups: Evaluation["groups"] }>;
  leftOut: { score: string; reason: string }[];
}

beforeAll(async () => {
  const size = ["--epochs", "2", "--milestones", "1", "--width", "0.0625", "--batch-size", "32"];
  await good(["train", digits, ...size, "--subset", "1200", "--seed", "3", "--validation", "0.2", ...threads, "--out", network]);
  const extract = (data: string, count: string, seed: string, out: string) =>
    good(["extract", network, "--data", data, "--subset", count, "--seed", seed, ...threads, "--out", out]);
  await extract(`${digits}#train`, "900", "3", training);
  await extract(digits, "300", "1", fresh);
  await extract(clothes, "200", "1", strange);
  await extract(`${digits}#train`, "300", "2", held);
});

const together = ["--test", digits, "--ood", clothes, "--subset", "200", "--train", `${digits}#train`, ...threads];

test("all scores at once are what each is alone; an option is of the score that it names", async () => {
  const own = ["--score-option", "gaussian-mixture.covariance=ledoit-wolf"];
  const all = await json<Printed>(["evaluate", network, "--score", "all", ...together, ...own]);
  expect(Object.keys(all.scores)).toHaveLength(10);
  expect(all.leftOut).toEqual([]);
  for (const [score, ...more] of [["energy"], ["vim"], ["gaussian-mixture", "--score-option", "covariance=ledoit-wolf"]] as const) {
    const alone = await json<Printed>(["evaluate", network, "--score", score, ...together, ...more]);
    expect([alone.score, alone.sets]).toEqual([score, all.scores[score]?.sets]);
    expect(alone.test).toEqual(all.test);
  }
  const { stdout } = await good(["evaluate", network, "--score", "energy,max-logit", ...together]);
  expect(stdout).toMatch(/^Fashion-MNIST, 200 inputs\nscore +AUROC +AUPR-in +AUPR-out +FPR95\nenergy +0\.\d{4} .*\nmax-logit +0\.\d{4} /m);
});

test("without --train, all is what needs no fit; one that was named is an error", async () => {
  const sets = ["--test", digits, "--ood", clothes, "--subset", "100", ...threads];
  const found = await json<Printed>(["evaluate", network, "--score", "all", ...sets]);
  expect(Object.keys(found.scores)).toEqual(["energy", "entropy", "feature-norm", "max-logit", "max-softmax"]);
  expect(found.leftOut.map(({ score }) => score)).toContain("vim");
  for (const [args, message] of [
    [["--score", "energy,vim"], /^ERR_OPTION: --train: expected the training images/],
    [["--score", "energy,vmi"], /Expected all, or different names of .*found "vmi"/],
    [["--score", "energy,max-logit", "--score-option", "temperature=2"], /^ERR_OPTION: --score-option: expected SCORE\.NAME=VALUE/],
    [
      ["--score", "energy", "--score-option", "vim.dimension=3"],
      /^ERR_OPTION: --score-option: expected an option of energy, found one of vim/,
    ],
  ] as const) {
    expect((await cli(["evaluate", network, ...args, ...sets])).stderr).toMatch(message);
  }
});

test("a detector of features, and scores fitted to features, take features; a set may have any name", async () => {
  const detector = directory.path("detector.safetensors");
  await good([
    "fit",
    "--features",
    training,
    "--calibration",
    held,
    "--covariance",
    "ledoit-wolf",
    "--allow-overlap",
    ...threads,
    "--out",
    detector,
  ]);
  const sets = ["--test", fresh, "--ood", strange, "--ood", `constructor=${strange}`, ...threads];
  const verdicts = await json<Printed>(["evaluate", detector, ...sets]);
  expect(Object.keys(verdicts.sets)).toEqual(["__proto__", "constructor"]);
  expect([verdicts.test.count, verdicts.test.seen, typeof verdicts.test.flagged]).toEqual([300, expect.any(Number), "number"]);
  expect(verdicts.test.accuracy).toBeGreaterThan(0.3);
  const direct = await json<Printed>([
    "evaluate",
    training,
    "--score",
    "gaussian-mixture",
    "--score-option",
    "covariance=ledoit-wolf",
    ...sets,
  ]);
  expect(direct.sets["constructor"]?.auroc).toBeCloseTo(verdicts.sets["constructor"]?.auroc as number, 8);
  const all = await json<Printed>(["evaluate", training, "--score", "all", ...sets]);
  expect(Object.keys(all.scores)).toContain("nearest-neighbours");
  expect(all.leftOut.map(({ score }) => score)).toEqual(expect.arrayContaining(["vim", "feature-norm"]));

  const refused = async (...args: string[]) => (await cli(["evaluate", ...args, ...threads])).stderr;
  expect(await refused(detector, "--test", digits, "--ood", strange)).toMatch(/^ERR_OPTION: mnist:.*expected features in files/m);
  expect(await refused(network, "--test", digits, "--ood", held)).toMatch(/^ERR_OPTION: .*held\.safetensors: expected images/);
  expect(await refused(detector, "--test", training, "--ood", strange)).toMatch(
    /^ERR_OPTION: .*expected inputs that were not trained on, fitted/m,
  );
  const empty = directory.path("empty");
  mkdirSync(empty);
  expect(await refused(detector, "--test", empty, "--ood", strange)).toMatch(/^ERR_OPTION: .*empty: expected features/m);
});

test("sets of another size and number of channels are made what the network takes, and it is said; groups go by the names given", async () => {
  const colour = directory.path("colour.safetensors");
  const folder = directory.path("coloured");
  // A network of 16×16 colour images, of pictures that are made of the digits.
  const { train: known } = await datasets.mnist(dataDirectory, { prefix: "mnist-", splits: ["train"] });
  for (let i = 0; i < 60; i++) {
    const place = join(folder, String((known.labels[i] as number) % 2));
    mkdirSync(place, { recursive: true });
    await sharp(Buffer.from(known.image(i)), { raw: { width: 28, height: 28, channels: 1 } }).png().toFile(join(place, `${i}.png`)); // prettier-ignore
  }
  const size = ["--image-size", "16", "--epochs", "1", "--width", "0.0625", "--batch-size", "16"];
  await good(["train", folder, ...size, ...threads, "--out", colour]);
  const args = ["evaluate", colour, "--test", `CIFAR-10=${digits}`, "--ood", `SVHN=${clothes}`, "--ood", `MNIST=${clothes}`];
  const rest = ["--subset", "100", "--preset", "openood-1.5", ...threads];
  const printed = await json<Printed>([...args, ...rest]);
  expect(printed.test).toMatchObject({ name: "CIFAR-10", madeFrom: [1, 28, 28], resize: { mode: "center-crop" } });
  expect(printed.sets["SVHN"]).toMatchObject({ count: 100, madeFrom: [1, 28, 28] });
  expect(printed.groups["far"]).toMatchObject({ sets: ["MNIST", "SVHN"], missing: ["Textures", "Places365"] });
  expect(printed.test.accuracy).toBeUndefined(); // ten digits are not two classes
  const { stderr } = await good([...args, ...rest]);
  expect(stderr).toMatch(
    /^note: SVHN: images of 28×28×1 were made 16×16×3, as the network takes them \(center-crop, antialiased-bilinear\)$/m,
  );
  expect(stderr).toMatch(/^note: no accuracy: "2", a class of CIFAR-10, is none of the network's$/m);
  // Which sets are near and far follows from the set in distribution.
  const of100 = await json<Printed>(["evaluate", colour, "--test", `CIFAR-100=${digits}`, "--ood", `CIFAR-10=${clothes}`, ...rest]);
  expect(of100.groups["near"]).toMatchObject({ sets: ["CIFAR-10"] });
});
