// Where a result cannot be written, or would replace what is read, a command says so before it computes; shares and folders are told apart.

import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { NpyWriter } from "../../lib/formats/npy";
import { packageRoot } from "../../lib/core/package-root";
import { temporaryDirectory } from "../support/temporary-directory";
import { cli, digits, good, program, smallTraining } from "./command";

const directory = temporaryDirectory();
const training = ["train", digits, "--epochs", "500", ...smallTraining];
const folder = directory.path("folder");
const features = directory.path("features");
const labels = directory.path("labels.npy");

beforeAll(async () => {
  mkdirSync(folder);
  mkdirSync(features);
  const writer = await NpyWriter.open(join(features, "features.npy"), "float32", [2]);
  await writer.write(Float32Array.from({ length: 120 }, (_, i) => Math.sin(i * i)));
  await writer.commit();
  const list = await NpyWriter.open(labels, "int64", []);
  await list.write(BigInt64Array.from({ length: 60 }, (_, i) => BigInt(i % 2)));
  await list.commit();
});

const missing = directory.path("no/such/folder/file.safetensors");
const file = directory.path("file.safetensors");
const npy = join(features, "features.npy");
const fit = ["fit", "--features", npy, "--labels", labels, "--calibration", npy, "--allow-overlap"];

test.each<[string, string[], RegExp]>([
  ["train --out in a missing folder", [...training, "--out", missing], /^ERR_IO: cannot write .*file\.safetensors: ENOENT/m],
  ["train --out a folder", [...training, "--out", folder], /^ERR_IO: cannot write .*folder: it is a folder/m],
  ["train --out .", [...training, "--out", "."], /^ERR_IO: cannot write \.: it is a folder/m],
  ["train --out /", [...training, "--out", "/"], /^ERR_IO: cannot write \/: expected the path of a file/m],
  ["train --checkpoint in a missing folder", [...training, "--out", file, "--checkpoint", missing], /^ERR_IO: .*ENOENT/m],
  [
    "train, both the same",
    [...training, "--out", file, "--checkpoint", file],
    /^ERR_OPTION: --out: expected another file than --checkpoint/m,
  ],
  [
    "train, both the same by another way",
    [...training, "--out", file, "--checkpoint", `${folder}/../file.safetensors`],
    /^ERR_OPTION: --out: expected another file than --checkpoint/m,
  ],
  ["fit --out in a missing folder", [...fit, "--out", missing], /^ERR_IO: .*ENOENT/m],
  ["fit --out over its features", [...fit, "--out", npy], /^ERR_OPTION: --out: expected another file than --features/m],
  ["fit --out over its labels", [...fit, "--out", labels], /^ERR_OPTION: --out: expected another file than --labels/m],
  [
    "fit --out over features in a folder",
    ["fit", "--features", features, "--labels", labels, "--calibration", features, "--out", npy],
    /^ERR_OPTION: --out: expected another file than features\.npy of --features/m,
  ],
])("%s", async (_, args, message) => {
  const before = readFileSync(npy);
  const { code, stderr } = await cli(args);
  expect([code, stderr]).toEqual([1, expect.stringMatching(message) as string]);
  expect(stderr).not.toMatch(/\n +at /);
  expect(readFileSync(npy)).toEqual(before);
  expect(readdirSync(features)).toEqual(["features.npy"]); // nothing is left of the look
});

test.each([
  [["train", digits, "--out", "x", "--epochs", "1", "--validation", "0.1.2"], /Expected a share of the images, as 0\.1, or SET:DIR/],
  [["fit", "m", digits, "--out", "x", "--calibration", "..."], /Expected a share of the images, as 0\.1, or SET:DIR/],
])("neither a share nor a data set: %j", async (args, message) => {
  const { code, stderr } = await cli(args);
  expect([code, stderr]).toEqual([2, expect.stringMatching(message) as string]);
});

test.each([".", ".."])("--validation %s is a folder", async (name) => {
  const inner = join(folder, "inner");
  mkdirSync(inner, { recursive: true });
  const args = ["train", digits, "--epochs", "1", ...smallTraining, "--out", file, "--validation", name];
  const { code, stderr } = await program(join(packageRoot, "dist", "cli", "main.js"), args, undefined, inner);
  expect(code).toBe(1); // a folder without images
  expect(stderr).not.toMatch(/Expected a/);
});

test("train says what it computed in", async () => {
  const { stdout } = await good(["train", digits, "--epochs", "1", ...smallTraining, "--out", file]);
  expect(stdout).toMatch(/: written after 1 epoch in (float32|bfloat16) \(/);
});
