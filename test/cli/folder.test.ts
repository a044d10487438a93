// The commands on a folder of images per class, of any size.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { datasets, type Dataset, type Evaluation, type ResizeRecord } from "../../lib";
import { discover } from "../../lib/libtorch/discover";
import { temporaryDirectory } from "../files/temporary-directory";
import { cli, dataDirectory, good, json } from "./command";

const directory = temporaryDirectory();

interface Recorded {
  resize?: ResizeRecord;
  seen: number;
}

async function writeFolder(name: string, data: Dataset, count: number): Promise<string> {
  for (let i = 0; i < count; i++) {
    const place = join(directory.path(name), `class ${data.labels[i]}`);
    mkdirSync(place, { recursive: true });
    const pixels = sharp(Buffer.from(data.image(i)), { raw: { width: 28, height: 28, channels: 1 } });
    await pixels
      .resize(40 + (i % 3), 40)
      .png()
      .toFile(join(place, `${i}.png`));
  }
  return directory.path(name);
}

test("train, fit and evaluate on folders: classes by their names, images resized, the seed's share held out", async () => {
  // Decoded images are kept in a cache of their own; libtorch may be in the one that this replaces.
  process.env.LIBTORCH_OOD_HOME = discover().chosen?.directory;
  process.env.LIBTORCH_OOD_CACHE = directory.path("cache");
  const { train, test } = await datasets.mnist(dataDirectory, { prefix: "mnist-" });
  const { test: clothes } = await datasets.fashionMnist(dataDirectory, { prefix: "fashion-", splits: ["test"] });
  const photos = await writeFolder("photos", train, 240);
  const fresh = await writeFolder("fresh", test, 60);
  const strange = await writeFolder("strange", clothes, 30);
  const [network, detector] = [directory.path("network.safetensors"), directory.path("detector.safetensors")];
  const size = ["--image-size", "16", "--channels", "1", "--width", "0.0625", "--batch-size", "16", "--threads", "1"];
  const trained = await json<{ classNames: string[]; images: number; architecture: { imageSize: number; inChannels: number } }>([
    "train",
    photos,
    ...size,
    "--epochs",
    "2",
    "--validation",
    "0.2",
    "--seed",
    "4",
    "--out",
    network,
  ]);
  expect(trained).toMatchObject({ images: 240, architecture: { imageSize: 16, inChannels: 1 } });
  expect(trained.classNames).toEqual(Array.from({ length: 10 }, (_, label) => `class ${label}`));
  const fitted = await json<{ calibration: { count: number }; classNames: string[] }>([
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
  ]);
  expect(fitted).toMatchObject({ calibration: { count: 48 }, classNames: trained.classNames });
  type Printed = Evaluation & Record<"test", Recorded> & { sets: Record<string, Recorded> };
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

test("an empty folder of images is an error that names it", async () => {
  mkdirSync(directory.path("empty"));
  const { code, stderr } = await cli(["train", directory.path("empty"), "--epochs", "1", "--out", directory.path("x.safetensors")]);
  expect([code, stderr]).toEqual([1, expect.stringMatching(/^ERR_IO: .*empty/)]);
});
