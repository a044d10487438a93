// The names of classes beside features in files: they are the detector's, and labels of another folder are read by them.

import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { NpyWriter } from "../../lib/formats/npy";
import { Detector } from "../../lib";
import { temporaryDirectory } from "../support/temporary-directory";
import { cli, good, json } from "./command";

const directory = temporaryDirectory();
const perClass = 40;

/** Three classes far apart in two dimensions; row i is of class i % 3, which `numbers` numbers. */
async function folder(name: string, numbers: readonly number[], classes: readonly string[] | undefined, phase: number): Promise<string> {
  const path = directory.path(name);
  mkdirSync(path);
  const features = await NpyWriter.open(join(path, "features.npy"), "float64", [2]);
  const value = (i: number): number => 10 * ((i >> 1) % 3) * (i % 2 === 0 ? 1 : -0.5) + Math.sin((i + phase) ** 2);
  await features.write(Float64Array.from({ length: 6 * perClass }, (_, i) => value(i)));
  await features.commit();
  const labels = await NpyWriter.open(join(path, "labels.npy"), "int64", []);
  await labels.write(BigInt64Array.from({ length: 3 * perClass }, (_, i) => BigInt(numbers[i % 3] as number)));
  await labels.commit();
  if (classes !== undefined) directory.put(`${name}/classes.txt`, `${classes.join("\n")}\n`);
  return path;
}

const out = directory.path("detector.safetensors");
const fit = (training: string, calibration: string) => ["fit", "--features", training, "--calibration", calibration, "--out", out];

interface Fitted {
  classNames: string[];
  calibration: { accuracy: number };
}

test("they are the detector's; labels of calibration and test are matched to them by name", async () => {
  const training = await folder("training", [0, 1, 2], ["ant", "bee", "cat"], 0);
  const calibration = await folder("calibration", [2, 0, 1], ["bee", "cat", "ant"], 0.5);
  const fitted = await json<Fitted>(fit(training, calibration));
  expect(fitted.classNames).toEqual(["ant", "bee", "cat"]);
  expect(fitted.calibration.accuracy).toBe(1);
  expect((await Detector.load(out)).classNames).toEqual(["ant", "bee", "cat"]);

  const test = await folder("test", [1, 2, 0], ["cat", "ant", "bee"], 0.7);
  const evaluate = (subject: string, ...more: string[]) =>
    json<{ test: { accuracy?: number } }>(["evaluate", subject, "--test", test, "--ood", calibration, "--allow-overlap", ...more]);
  expect((await evaluate(out)).test.accuracy).toBe(1);
});

test("names of other classes are said; numbers alone are no names", async () => {
  const training = await folder("a", [0, 1, 2], ["ant", "bee", "cat"], 0);
  const others = await folder("b", [0, 1, 2], ["ant", "bee", "dog"], 0.5);
  const { stderr } = await good(fit(training, others));
  expect(stderr).toMatch(/^warning: .*b: found the class "dog", which is none of the network's: its classes are taken by their numbers/m);
  const evaluated = await good(["evaluate", out, "--test", others, "--ood", training, "--allow-overlap"]);
  expect(evaluated.stderr).toMatch(/^note: no accuracy: "dog", a class of b, is none of the network's$/m);
  const numbers = await folder("c", [0, 1, 2], ["0", "1", "2"], 0.5);
  expect((await json<Fitted>(fit(training, numbers))).calibration.accuracy).toBe(1);
});

test("--class-names and --labels come before them; a label without a name is refused", async () => {
  const training = await folder("d", [0, 1, 2], ["ant", "bee", "cat"], 0);
  const calibration = await folder("e", [0, 1, 2], undefined, 0.5);
  const own = directory.put("own.txt", "x\ny\nz\n");
  expect((await json<Fitted>([...fit(training, calibration), "--class-names", own])).classNames).toEqual(["x", "y", "z"]);
  copyFileSync(join(training, "labels.npy"), directory.path("labels.npy"));
  rmSync(join(training, "labels.npy"));
  const labels = ["--labels", directory.path("labels.npy")];
  expect((await json<Fitted>([...fit(training, calibration), ...labels])).classNames).toEqual(["0", "1", "2"]);
  const few = await folder("f", [0, 1, 2], ["ant", "bee"], 0.5);
  const { code, stderr } = await cli(fit(await folder("g", [0, 1, 2], ["ant", "bee", "cat"], 0), few));
  expect([code, stderr]).toEqual([1, expect.stringMatching(/^ERR_RANGE: .*f: expected labels from 0 to 1, .*, found 2 in row 2$/m)]);
});

test("a set that is not there: images and features are what it may be", async () => {
  const { code, stderr } = await cli(["evaluate", "x.npy", "--test", "no-such-features", "--ood", "y"]);
  expect([code, stderr]).toEqual([2, expect.stringMatching(/an existing folder of images or features, or an existing \.npy or/)]);
});
