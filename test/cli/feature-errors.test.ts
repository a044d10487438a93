// Errors about features in files say which file, which set and which row; options that are not looked at are refused.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Detector } from "../../lib";
import { NpyWriter } from "../../lib/formats/npy";
import { temporaryDirectory } from "../support/temporary-directory";
import { libraryFailureOf } from "../models/resnet/tiny-network";
import { cli, good } from "./command";

const directory = temporaryDirectory();
const out = directory.path("detector.safetensors");

/** Rows of two classes; `phase` makes another draw. */
async function folder(name: string, rows: number, columns: number, phase: number, bad?: number): Promise<string> {
  const path = directory.path(name);
  mkdirSync(path);
  const values = Float64Array.from({ length: rows * columns }, (_, i) => {
    const row = Math.floor(i / columns);
    return row === bad ? NaN : 4 * (row % 2) + Math.sin((i + phase) ** 2);
  });
  const features = await NpyWriter.open(join(path, "features.npy"), "float64", [columns]);
  await features.write(values);
  await features.commit();
  const labels = await NpyWriter.open(join(path, "labels.npy"), "int64", []);
  await labels.write(BigInt64Array.from({ length: rows }, (_, i) => BigInt(i % 2)));
  await labels.commit();
  return path;
}

const sets = {} as Record<"training" | "calibration" | "fresh" | "narrow" | "bad" | "empty", string>;
beforeAll(async () => {
  sets.training = await folder("training", 80, 3, 0);
  sets.calibration = await folder("calibration", 60, 3, 0.25);
  sets.fresh = await folder("fresh", 50, 3, 0.5);
  sets.narrow = await folder("narrow", 50, 2, 0.5);
  sets.bad = await folder("bad", 1200, 3, 0.75, 1111);
  sets.empty = await folder("empty", 0, 3, 0);
  await good(["fit", "--features", sets.training, "--calibration", sets.calibration, "--out", out]);
});

async function refusal(...args: string[]): Promise<string> {
  const { code, stderr } = await cli(args);
  expect(code).toBe(1);
  return stderr;
}

test("of the calibration", async () => {
  const fit = ["fit", "--features", sets.training, "--out", directory.path("none.safetensors"), "--calibration"];
  expect(await refusal(...fit, sets.bad)).toMatch(/^ERR_NON_FINITE: calibration\.features: .* in row 1111$/m);
  expect(await refusal(...fit, sets.narrow)).toMatch(/^ERR_SHAPE: calibration\.features: expected 3 columns, found 2$/m);
  const matrix = (rows: number, phase: number, bad?: number) => ({
    data: Float64Array.from({ length: 2 * rows }, (_, i) => (i >> 1 === bad ? NaN : Math.sin((i + phase) ** 2))),
    shape: [rows, 2],
  });
  const labels = Array.from({ length: 30 }, (_, i) => i % 2);
  const options = { features: matrix(30, 0), labels, calibration: { features: matrix(25, 0.5, 7) } };
  const { code, message } = await libraryFailureOf(() => Detector.fromFeatures(options));
  expect([code, message]).toEqual(["ERR_NON_FINITE", expect.stringMatching(/^calibration\.features: .* in row 7$/)]);
});

test("of what is scored: the file, and the row among all of its rows", async () => {
  expect(await refusal("score", out, "--features", sets.bad)).toMatch(/^ERR_NON_FINITE: .*bad: features: .* in row 1111$/m);
  for (const subject of [[out], [sets.training, "--score", "mahalanobis"]]) {
    const evaluate = ["evaluate", ...subject, "--test", sets.fresh, "--ood"];
    expect(await refusal(...evaluate, sets.bad)).toMatch(/^ERR_NON_FINITE: .*bad: features: .* in row 1111$/m);
    expect(await refusal(...evaluate, sets.narrow)).toMatch(/^ERR_SHAPE: .*narrow: features: expected 3 columns, found 2$/m);
    expect(await refusal(...evaluate, sets.empty)).toMatch(/^ERR_SHAPE: .*empty: expected at least one row, found none$/m);
  }
  const fitted = await refusal("evaluate", sets.bad, "--score", "mahalanobis", "--test", sets.fresh, "--ood", sets.calibration);
  expect(fitted).toMatch(/^ERR_NON_FINITE: .*bad: features: .* in row 1111$/m);
});

test("rows of features are inputs, not images", async () => {
  const { stdout } = await good(["evaluate", out, "--test", sets.fresh, "--ood", sets.calibration, "--allow-overlap"]);
  expect(stdout).toMatch(/^test set +fresh, 50 inputs, /m);
  expect(stdout).toMatch(/^set +inputs +AUROC /m);
});

test("options of a split beside a --test that is none of its parts", async () => {
  const evaluate = ["evaluate", out, "--test", sets.fresh, "--ood", sets.calibration];
  for (const [option, value] of [
    ["--data", sets.fresh],
    ["--validation", "0.1"],
    ["--calibration", "0.2"],
  ] as const) {
    expect(await refusal(...evaluate, option, value)).toMatch(
      new RegExp(`^ERR_OPTION: ${option}: expected it where --test is a share`, "m"),
    );
  }
});

test("a detector where a network is expected, and the reverse", async () => {
  expect(await refusal("extract", out, sets.fresh, "--out", directory.path("x"))).toMatch(
    /^ERR_CORRUPT_FILE: .*expected a network \(of "train" or ResNet\.save\), found a detector \(of "fit" or Detector\.save\)$/m,
  );
});
