// The commands on a folder of images per class, of any size.

import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import sharp from "sharp";
import { datasets, Detector, ResNet, type Dataset, type Evaluation, type ResizeRecord } from "../../lib";
import { splitByShares } from "../../lib/cli/split";
import { readNpy } from "../../lib/formats/npy";
import { discover } from "../../lib/native/libtorch/discover";
import { temporaryDirectory } from "../support/temporary-directory";
import { cli, dataDirectory, good, json } from "./command";

const directory = temporaryDirectory();

interface Recorded {
  resize?: ResizeRecord;
  seen: number;
}
type Printed = Evaluation & Record<"test", Recorded> & { sets: Record<string, Recorded> };

async function writeFolder(name: string, data: Dataset, count: number): Promise<string> {
  for (let i = 0; i < count; i++) {
    const place = join(directory.path(name), `class ${data.labels[i]}`);
    mkdirSync(place, { recursive: true });
    const pixels = sharp(Buffer.from(data.image(i)), { raw: { width: 28, height: 28, channels: 1 } });
    await pixels
      .resize(60 + (i % 3), 40) // cropped or squashed it is another image
      .png()
      .toFile(join(place, `${i}.png`));
  }
  return directory.path(name);
}

const [network, detector] = [directory.path("network.safetensors"), directory.path("detector.safetensors")];
const size = ["--image-size", "16", "--channels", "1", "--width", "0.0625", "--batch-size", "16", "--threads", "1"];
let photos: string, fresh: string, strange: string;
let trained: { classNames: string[]; images: number; architecture: { imageSize: number; inChannels: number } };
let fitted: { calibration: { count: number }; classNames: string[]; warnings: string[] };

beforeAll(async () => {
  // Decoded images are kept in a cache of their own; libtorch may be in the one that this replaces.
  process.env.LIBTORCH_OOD_HOME = discover().chosen?.directory;
  process.env.LIBTORCH_OOD_CACHE = directory.path("cache");
  const { train, test } = await datasets.mnist(dataDirectory, { prefix: "mnist-" });
  const { test: clothes } = await datasets.fashionMnist(dataDirectory, { prefix: "fashion-", splits: ["test"] });
  photos = await writeFolder("photos", train, 240);
  fresh = await writeFolder("fresh", test, 60);
  strange = await writeFolder("strange", clothes, 30);
  const held = ["--validation", "0.2", "--seed", "4"];
  trained = await json([...["train", photos, ...size, "--epochs", "2", ...held, "--out", network]]);
  const fitting = [
    "fit",
    network,
    `folder:${photos}`,
    "--calibration",
    "0.2",
    "--seed",
    "4",
    "--score",
    "energy",
    "--out",
    detector,
    "--minimum-accuracy",
    "0",
  ];
  fitted = await json(fitting);
});

test("train, fit and evaluate on folders: classes by their names, images resized, the seed's share held out", async () => {
  expect(trained).toMatchObject({ images: 240, architecture: { imageSize: 16, inChannels: 1 } });
  expect(trained.classNames).toEqual(Array.from({ length: 10 }, (_, label) => `class ${label}`));
  expect(fitted).toMatchObject({ calibration: { count: 48 }, classNames: trained.classNames, warnings: [] });
  const evaluated = await json<Printed>(["evaluate", detector, "--test", fresh, "--ood", strange, "--subset", "50"]);
  expect(Object.entries(evaluated.sets).map(([name, { count }]) => [name, count])).toEqual([["strange", 30]]);
  // How images came to their size is in the result, as is that none of them was seen before (traps 7 and 6).
  const resize = { mode: "center-crop", kernel: "antialiased-bilinear" };
  expect([evaluated.test, evaluated.sets.strange]).toEqual([
    expect.objectContaining({ resize, seen: 0 }),
    expect.objectContaining({ resize, seen: 0 }),
  ]);
  const again = await cli(["evaluate", detector, "--test", photos, "--ood", strange]);
  expect([again.code, again.stderr]).toEqual([1, expect.stringMatching(/^ERR_OPTION: .*photos: .*found 240 of 240/)]);
  const { stdout } = await good(["score", detector, strange]);
  expect(stdout.trim().split("\n")).toHaveLength(31);
});

test("images are resized as was asked for, all alike, and the results say how (trap 7)", async () => {
  const squash = { mode: "squash", kernel: "antialiased-bilinear" };
  const squashing = directory.path("squashing.safetensors");
  const fitting = [
    "fit",
    network,
    photos,
    "--calibration",
    "0.2",
    "--seed",
    "4",
    "--score",
    "energy",
    "--resize",
    "squash",
    "--minimum-accuracy",
    "0",
  ];
  // The network was trained on cropped images, which are others; of a difference between training, calibration and later ones nothing is told.
  expect(await json([...fitting, "--out", squashing])).toMatchObject({ warnings: [expect.stringMatching(/^train: 192 of 192 images/)] });
  const training = ["train", photos, ...size, "--epochs", "1", "--validation", "0.2", "--seed", "4", "--resize", "squash"];
  const alike = directory.path("network-squash.safetensors");
  await json([...training, "--out", alike]);
  const ofAlike = ["fit", alike, ...fitting.slice(2), "--out", directory.path("alike.safetensors")];
  expect(await json(ofAlike)).toMatchObject({ warnings: [] });
  const sets = ["--test", fresh, "--ood", strange];
  const evaluated = await json<Printed>(["evaluate", squashing, ...sets]);
  expect([evaluated.test.resize, evaluated.sets.strange?.resize]).toEqual([squash, squash]);

  const scores = async (args: string[]) => {
    const { stdout } = await good(["score", ...args, "--json", "--threads", "1"]);
    const lines = stdout.trim().split("\n").map((line) => (JSON.parse(line) as { score: number }).score); // prettier-ignore
    return lines.sort((a, b) => a - b);
  };
  const [files, dataSet, cropped] = [
    await scores([squashing, strange]),
    await scores([squashing, "--data", strange]),
    await scores([detector, strange]),
  ];
  expect(files).toHaveLength(30);
  files.forEach((score, i) => expect(dataSet[i]).toBeCloseTo(score, 5));
  expect(Math.max(...files.map((score, i) => Math.abs(score - (cropped[i] as number))))).toBeGreaterThan(1e-3);

  const features = async (name: string, args: string[]) => {
    const out = directory.path(name);
    const printed = await json<Recorded>(["extract", network, ...args, "--threads", "1", "--out", out]);
    return { ...printed, values: Array.from((await readNpy(join(out, "features.npy"))).data, Number) };
  };
  const extracted = await features("files", [strange, "--resize", "squash"]);
  const same = await features("data set", ["--data", strange, "--resize", "squash"]);
  const others = await features("cropped", ["--data", strange]);
  expect([extracted.resize, same.resize, others.resize]).toEqual([squash, squash, { ...squash, mode: "center-crop" }]);
  extracted.values.forEach((value, i) => expect(same.values[i]).toBeCloseTo(value, 5));
  expect(Math.max(...extracted.values.map((value, i) => Math.abs(value - (others.values[i] as number))))).toBeGreaterThan(1e-2);
});

test("score: what cannot be read is a line of its own, and the others are scored", async () => {
  const mixed = directory.path("mixed");
  mkdirSync(mixed);
  copyFileSync(join(strange, "class 0", readdirSync(join(strange, "class 0"))[0] as string), join(mixed, "sound.png"));
  symlinkSync(".", join(mixed, "again"));
  symlinkSync(".", join(mixed, "and again"));
  for (const name of ["._sound.png", "photo.heic"]) writeFileSync(join(mixed, name), "not a PNG");
  const gone = directory.path("gone.png");
  const { code, stdout, stderr } = await cli(["score", detector, mixed, gone, "--json"]);
  const lines = stdout.trim().split("\n").map((line) => JSON.parse(line) as { image: string; error?: { code: string } }); // prettier-ignore
  expect(lines.map(({ image, error }) => [image, error?.code])).toEqual([
    [join(mixed, "sound.png"), undefined],
    [gone, "ERR_IO"],
  ]);
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(/^note: passed over 1 \.heic,[^]*2 scored, . out of distribution, 1 not readable/),
  ]);
});

test("extract numbers a folder's labels as the network does, by name, and leaves out those of other classes (its own numbers said nothing)", async () => {
  const classes = (data: Dataset, wanted: readonly number[], prefix: string) => {
    const place = directory.path(`some ${prefix}`);
    const chosen = wanted.map((label) => Array.from(data.labels).indexOf(label));
    for (const index of chosen) {
      const folder = join(place, `${prefix}${data.labels[index]}`);
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, "0.png"), readFileSync(join(photos, `class ${data.labels[index]}`, `${index}.png`)));
    }
    return place;
  };
  const { train } = await datasets.mnist(dataDirectory, { prefix: "mnist-" });
  const extract = async (folder: string) => {
    const out = directory.path(`extracted ${basename(folder)}`);
    const { stderr } = await good(["extract", network, "--data", folder, "--threads", "1", "--out", out]);
    return {
      stderr,
      labels: existsSync(join(out, "labels.npy")) ? Array.from((await readNpy(join(out, "labels.npy"))).data, Number) : undefined,
    };
  };
  expect(await extract(classes(train, [7, 3, 9], "class "))).toEqual({ stderr: "", labels: [3, 7, 9] });
  expect(await extract(classes(train, [7, 3], "digit "))).toEqual({
    labels: undefined,
    stderr: expect.stringMatching(/^note: no labels are written: "digit 3", a class of some digit , is none of the network's$/m),
  });
});

test("a folder split three ways: each command takes its own part, and the parts are apart", async () => {
  const shares = ["--validation", "0.1", "--calibration", "0.2", "--test", "0.3", "--seed", "7"];
  const [split, fitted3] = [directory.path("split.safetensors"), directory.path("split-detector.safetensors")];
  const made = await json<typeof trained>(["train", photos, ...size, "--epochs", "1", ...shares, "--out", split]);
  expect(made.images).toBe(240 - 24 - 48 - 72);
  const { stdout, stderr } = await good(["fit", split, photos, ...shares, "--score", "energy", "--threads", "1", "--out", fitted3]);
  expect(stdout).toMatch(/^calibration +48 held-out, 0\.\d+ named rightly, mean confidence 0\.\d+$/m);
  expect(stdout).toMatch(/^false alarms +5 % asked for, 0\.5 % to 11\.\d % of later in-distribution inputs in 95 of 100/m);
  expect(stdout).toMatch(/^flagged +[\d.]+ % of noise, [\d.]+ % of shuffled patches$/m);
  expect(stdout).toMatch(/^left out +[\d.]+ % of classes that the score does not know \(class \d [\d.]+ %, /m);
  // One epoch on 96 images: it says itself that it is of no use, and of the split there is nothing to say.
  expect(stderr).toMatch(/^warning: calibration: .* verdicts of this detector are of little use/m);
  expect(stderr).not.toMatch(/split/);
  const test3 = ["evaluate", fitted3, "--data", photos, ...shares, "--ood", strange, "--threads", "1"];
  const evaluated = await json<Printed & { test: { count: number } }>(test3);
  expect(evaluated.test).toMatchObject({ count: 72, seen: 0 });
  // A score that is fitted takes the part that was trained on.
  const fitted = await json<Printed & { test: object }>(["evaluate", split, "--score", "mahalanobis", ...test3.slice(2)]);
  expect(fitted.test).toMatchObject({ count: 72, seen: 0 });
  const all = await datasets.imageFolder(photos, { imageSize: 16, channels: 1 });
  const parts = splitByShares(all, { validation: 0.1, calibration: 0.2, test: 0.3 }, 7);
  const [model, loaded] = [await ResNet.load(split), await Detector.load(fitted3)];
  const seen = async (part: Dataset) => [(await model.overlap(part)).indices.length, (await loaded.overlap(part)).indices.length];
  expect(await Promise.all([parts.train, parts.validation, parts.calibration, parts.test].map((part) => seen(part as Dataset)))).toEqual([
    [96, 96],
    [0, 0],
    [0, 48],
    [0, 0],
  ]);
  expect([...(parts.validation as Dataset).images]).toEqual([...all.split(0.1, 7).validation.images]);
  const lacking = await cli(["evaluate", fitted3, "--test", "0.3", "--ood", strange]);
  expect([lacking.code, lacking.stderr]).toEqual([1, expect.stringMatching(/^ERR_OPTION: --data: /m)]);
  const greedy = await cli(["fit", split, photos, "--validation", "0.5", "--calibration", "0.5", "--out", fitted3]);
  expect([greedy.code, greedy.stderr]).toEqual([1, expect.stringMatching(/^ERR_RANGE: --calibration: .*found 0.5 of 240 images/)]);
});

test("a folder of images without folders of classes: what to do, and no word of images that cannot be read", async () => {
  const { code, stderr } = await cli(["evaluate", network, "--test", join(photos, "class 1"), "--ood", strange, "--threads", "1"]);
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(/^ERR_IO: .*there is none; put images without classes into one folder in it$/m),
  ]);
});

test("an empty folder of images is an error that names it", async () => {
  mkdirSync(directory.path("empty"));
  const { code, stderr } = await cli(["train", directory.path("empty"), "--epochs", "1", "--out", directory.path("x.safetensors")]);
  expect([code, stderr]).toEqual([1, expect.stringMatching(/^ERR_IO: .*empty/)]);
});
