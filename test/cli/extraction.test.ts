// What `extract` leaves on the disk is of one run, whatever was there before and whoever else writes there; one bad image does not spoil it.

import { execFileSync, spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { ResNet } from "../../lib";
import { readExtracted } from "../../lib/cli/extracted";
import type { ExtractionForm } from "../../lib/cli/extraction-arrays";
import { openExtraction } from "../../lib/cli/extraction-writer";
import { NpyWriter, readNpy } from "../../lib/formats/npy";
import { readSafetensors } from "../../lib/formats/safetensors";
import { packageRoot } from "../../lib/core/package-root";
import { Tensor } from "../../lib/native/tensor";
import { temporaryDirectory } from "../support/temporary-directory";
import { libraryFailureOf, useOneThread } from "../models/resnet/tiny-network";
import { cli, good, json } from "./command";

useOneThread();
const directory = temporaryDirectory();
const network = directory.path("network.safetensors");
const [photos, others] = [directory.path("photos"), directory.path("others")];

interface Printed {
  count: number;
  arrays: { name: string; file: string; shape: number[] }[];
  images?: string;
  classes?: string;
  skipped?: { count: number; list?: string };
}

beforeAll(async () => {
  const model = await ResNet.create({ numClasses: 3, imageSize: 8, inChannels: 3, width: 1 / 16, seed: 1, normalization: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] } }); // prettier-ignore
  await model.save(network);
  model.dispose();
  for (const [folder, count] of [
    [photos, 12],
    [others, 12],
  ] as const) {
    for (let i = 0; i < count; i++) {
      const place = join(folder, i % 2 === 0 ? "cat" : "dog");
      mkdirSync(place, { recursive: true });
      const data = Buffer.from(Array.from({ length: 192 }, (_, k) => (k * (i + (folder === photos ? 2 : 40)) * 37) % 256));
      await sharp(data, { raw: { width: 8, height: 8, channels: 3 } }).png().toFile(join(place, `${i}.png`)); // prettier-ignore
    }
  }
});

const extract = (...args: string[]) => json<Printed>(["extract", network, ...args]);
const features = async (folder: string, name = "features") => Array.from((await readNpy(join(folder, `${name}.npy`))).data, Number);

describe("of one run", () => {
  test("what a second run does not write is gone: labels, names of classes, the other kind of features", async () => {
    const out = directory.path("again");
    const first = await extract(photos, "--labels-from-folders", "--out", out);
    expect(first.arrays.map(({ name, shape }) => [name, shape[0]])).toEqual([["features", 12], ["logits", 12], ["labels", 12]]); // prettier-ignore
    expect(readFileSync(join(out, "classes.txt"), "utf8")).toBe("cat\ndog\n");
    await extract(others, "--features", "raw", "--out", out);
    expect(readdirSync(out).sort()).toEqual(["extraction.json", "images.txt", "logits.npy", "rawFeatures.npy"]);
    await readExtracted(out);
    await extract(network.replace(/network.*/, "photos"), "--out", directory.path("z.safetensors"));
    expect(existsSync(directory.path("z.images.txt"))).toBe(true);
    const digits = `mnist:${join(packageRoot, "examples", "data", "mnist-")}`;
    const grey = directory.path("grey.safetensors");
    const model = await ResNet.create({ numClasses: 3, imageSize: 28, inChannels: 1, width: 1 / 16, normalization: { mean: [0.5], std: [0.5] } }); // prettier-ignore
    await model.save(grey);
    await good(["extract", grey, "--data", digits, "--subset", "5", "--out", directory.path("z.safetensors")]);
    expect(existsSync(directory.path("z.images.txt"))).toBe(false);
  });

  test("an array that is no run's own is not removed: the run refuses at once", async () => {
    const out = directory.path("mine");
    mkdirSync(out);
    writeFileSync(join(out, "labels.npy"), "mine");
    const { code, stderr } = await cli(["extract", network, photos, "--out", out]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^ERR_OPTION: .*mine: .*labels\.npy, which this run does not write/)]);
    expect(readdirSync(out)).toEqual(["labels.npy"]);
  });

  test("lists beside a .safetensors file that no run wrote are not removed", async () => {
    const out = directory.path("album.safetensors");
    const classes = directory.path("album.classes.txt");
    writeFileSync(classes, "cat\ndog\n");
    const { code, stderr } = await cli(["extract", network, photos, "--out", out]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^ERR_OPTION: .*album\.classes\.txt, which this run does not write/)]);
    expect([readFileSync(classes, "utf8"), existsSync(out)]).toEqual(["cat\ndog\n", false]);
    await extract(photos, "--labels-from-folders", "--out", out);
    writeFileSync(classes, "Katze\nHund\n");
    expect((await cli(["extract", network, others, "--out", out])).code).toBe(1);
    writeFileSync(classes, "cat\ndog\n");
    await extract(others, "--out", out);
    expect([existsSync(classes), existsSync(directory.path("album.images.txt"))]).toEqual([false, true]);
  });

  test("two files whose long names differ at the end are written at the same time", async () => {
    const form: ExtractionForm = { featureName: "features", featureDim: 2, numClasses: 1, count: 3, labels: false, images: true, classNames: undefined }; // prettier-ignore
    const place = (part: number): string => directory.path(`features-of-a-set-with-a-name-of-many-words-part-${part}.safetensors`);
    const writers = [await openExtraction(place(1), form), await openExtraction(place(2), form)];
    expect(await libraryFailureOf(() => openExtraction(place(2), form))).toMatchObject({ code: "ERR_BUSY" });
    for (const writer of writers) await writer.keep();
  });

  test("arrays of two runs are refused where they are read; labels of one's own beside them are not", async () => {
    const [one, two] = [directory.path("one"), directory.path("two")];
    await extract(photos, "--out", one);
    await extract(others, "--out", two);
    await readExtracted(one);
    copyFileSync(join(two, "logits.npy"), join(one, "logits.npy"));
    expect(await libraryFailureOf(() => readExtracted(one))).toMatchObject({
      code: "ERR_CORRUPT_FILE",
      message: expect.stringMatching(/logits\.npy: expected what the run of extraction\.json wrote, .*remove extraction\.json/),
    });
    const { code, stderr } = await cli(["fit", "--features", one, "--labels", join(one, "x.npy"), "--calibration", two, "--out", directory.path("d.safetensors")]); // prettier-ignore
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^ERR_CORRUPT_FILE: .*logits\.npy/)]);
    rmSync(join(one, "extraction.json"));
    await readExtracted(one);
    writeFileSync(join(two, "labels.npy"), await labelsFile(12));
    await readExtracted(two);
    writeFileSync(join(two, "labels.npy"), await labelsFile(11));
    expect(await libraryFailureOf(() => readExtracted(two))).toMatchObject({
      code: "ERR_SHAPE",
      message: expect.stringContaining("labels of 11 rows"),
    });
    writeFileSync(join(two, "extraction.json"), "{}");
    expect(await libraryFailureOf(() => readExtracted(two))).toMatchObject({ code: "ERR_CORRUPT_FILE" });
  });

  test("two writers at once: one is refused, and the folder is the other's", async () => {
    for (const out of [directory.path("both"), directory.path("both.safetensors")]) {
      const runs = [photos, others].map((images) => cli(["extract", network, images, "--out", out, "--chunk-size", "1"]));
      const ended = await Promise.all(runs);
      const winners = [photos, others].filter((_, i) => ended[i]?.code === 0);
      expect(winners.length).toBeGreaterThanOrEqual(1); // both where one ended before the other began
      for (const { code, stderr } of ended) if (code !== 0) expect(stderr).toMatch(/^ERR_BUSY: .*another extraction is writing to it/m);
      const list = readFileSync(out.endsWith(".safetensors") ? directory.path("both.images.txt") : join(out, "images.txt"), "utf8");
      if (winners.length === 1) expect(list.startsWith(winners[0] as string)).toBe(true);
      if (!out.endsWith(".safetensors")) await readExtracted(out);
      expect(readdirSync(directory.path("")).concat(existsSync(join(out, "images.txt")) ? readdirSync(out) : []).filter((name) => /claim|tmp/.test(name))).toEqual([]); // prettier-ignore
    }
  });

  test("a run that is killed leaves what was there, and does not stand in the way of the next", async () => {
    const out = directory.path("killed");
    await extract(photos, "--out", out);
    const before = await features(out);
    const child = spawn(process.execPath, [join(packageRoot, "dist/cli/main.js"), "extract", network, "-", "--out", out], { stdio: ["pipe", "ignore", "inherit"] }); // prettier-ignore
    // Its list of paths does not end: it is waiting when it is killed, before and after the folder is claimed alike.
    child.stdin.write(`${photos}\n`);
    setTimeout(() => child.kill("SIGKILL"), 1500);
    await new Promise((resolve) => child.on("close", resolve));
    expect(await features(out)).toEqual(before);
    expect((await extract(others, "--out", out)).count).toBe(12);
  });

  test("while it lasts, the place is claimed; what is discarded leaves nothing, not even its folders", async () => {
    const form: ExtractionForm = { featureName: "features", featureDim: 2, numClasses: 1, count: 3, labels: false, images: true, classNames: undefined }; // prettier-ignore
    for (const out of [directory.path("new/deep/folder"), directory.path("new/x.safetensors")]) {
      const writer = await openExtraction(out, form);
      expect(await libraryFailureOf(() => openExtraction(out, form))).toMatchObject({ code: "ERR_BUSY" });
      await writer.keep();
      expect(existsSync(directory.path("new"))).toBe(false);
    }
    expect(await libraryFailureOf(() => openExtraction("/proc/x/y", form))).toMatchObject({ code: "ERR_IO" });
    expect(await libraryFailureOf(() => openExtraction(join(network, "x"), form))).toMatchObject({ code: "ERR_IO" });
  });

  test("fewer rows than were expected: the tensors of a .safetensors file still lie one behind the other", async () => {
    const out = directory.path("fewer.safetensors");
    const form: ExtractionForm = { featureName: "features", featureDim: 2, numClasses: 1, count: 1000, labels: true, images: false, classNames: undefined }; // prettier-ignore
    const writer = await openExtraction(out, form);
    for (const i of [0, 1]) {
      const rows = { features: Tensor.from(Float32Array.of(i, 10 + i), [1, 2]), logits: Tensor.from(Float32Array.of(20 + i), [1, 1]) };
      await writer.write({ ...rows, labels: Int32Array.of(30 + i), names: [], skipped: [] }, "float32");
    }
    const { arrays } = await writer.commit();
    expect(arrays.map(({ name, shape }) => [name, shape])).toEqual([["features", [2, 2]], ["logits", [2, 1]], ["labels", [2]]]); // prettier-ignore
    const { features: found, logits, labels } = await readExtracted(out);
    expect([found, logits, labels].map((tensor) => Array.from((tensor as Tensor).toArray(), Number))).toEqual([[0, 10, 1, 11], [20, 21], [30, 31]]); // prettier-ignore
    expect((await readSafetensors(out)).tensors.size).toBe(3);
  });
});

async function labelsFile(count: number): Promise<Buffer> {
  const path = directory.path("some-labels.npy");
  const writer = await NpyWriter.open(path, "int64", []);
  await writer.write(BigInt64Array.from({ length: count }, () => 0n));
  await writer.commit();
  return readFileSync(path);
}

describe("bad images", () => {
  const spoilt = directory.path("spoilt");
  beforeAll(() => {
    for (const name of ["cat", "dog"]) mkdirSync(join(spoilt, name), { recursive: true });
    copyFileSync(join(photos, "cat/0.png"), join(spoilt, "cat/1.png"));
    copyFileSync(join(photos, "dog/1.png"), join(spoilt, "dog/1.png"));
    writeFileSync(join(spoilt, "cat/0.png"), "<html>");
    writeFileSync(join(spoilt, "dog/._1.png"), "\0\u0005\u0016\u0007");
    writeFileSync(join(spoilt, "cat/3.heic"), "ftypheic");
    symlinkSync(directory.path("nowhere"), join(spoilt, "dog/2.png"));
    symlinkSync("..", join(spoilt, "dog/up"));
  });

  test.each(["a folder", "a data set"])("of %s: an error that says how to go on, or left out and listed", async (kind) => {
    const source = kind === "a folder" ? [spoilt] : ["--data", spoilt];
    if (kind === "a data set") rmSync(join(spoilt, "dog/up"), { force: true });
    const out = directory.path(`skipped ${kind}`);
    const failed = await cli(["extract", network, ...source, "--out", out]);
    expect([failed.code, failed.stderr]).toEqual([1, expect.stringMatching(/^ERR_(CORRUPT_FILE|IO): .*--skip-errors leaves out/m)]);
    expect(existsSync(out)).toBe(false);
    const labels = kind === "a folder" ? ["--labels-from-folders"] : [];
    const printed = await extract(...source, "--skip-errors", ...labels, "--out", out, "--chunk-size", "2");
    expect([printed.count, printed.skipped]).toEqual([2, { count: kind === "a folder" ? 2 : 3, list: join(out, "skipped.jsonl") }]);
    expect(readFileSync(join(out, "images.txt"), "utf8")).toBe(`${join(spoilt, "cat/1.png")}\n${join(spoilt, "dog/1.png")}\n`);
    expect(Array.from((await readNpy(join(out, "labels.npy"))).data, Number)).toEqual([0, 1]);
    const lines = readFileSync(join(out, "skipped.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line) as { path: string; code: string; reason: string }); // prettier-ignore
    const paths = ["cat/0.png", ...(kind === "a folder" ? [] : ["cat/3.heic"]), "dog/2.png"].map((name) => join(spoilt, name));
    expect(lines.map(({ path }) => path)).toEqual(paths);
    expect(lines.at(-1)).toMatchObject({ code: "ERR_IO", reason: expect.stringContaining("ENOENT") });
    await readExtracted(out);
    await extract(join(spoilt, "cat/1.png"), "--out", out);
    expect(existsSync(join(out, "skipped.jsonl"))).toBe(false);
  });

  test("where nothing can be read there is no output", async () => {
    const out = directory.path("nothing");
    const { code, stderr } = await cli(["extract", network, join(spoilt, "cat/0.png"), "--skip-errors", "--out", out]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^ERR_CORRUPT_FILE: none of 1 images can be read/m)]);
    expect(existsSync(out)).toBe(false);
  });

  test("a record, an array and a list that are pipes are refused, not waited for", async () => {
    for (const name of ["extraction.json", "labels.npy", "classes.txt"]) {
      const out = directory.path(`pipe for ${name.replace(".", " ")}`);
      await extract(photos, "--labels-from-folders", "--out", out);
      rmSync(join(out, name));
      execFileSync("mkfifo", [join(out, name)]);
      const { code, stderr } = await cli(["extract", network, others, "--out", out]);
      expect([code, stderr]).toEqual([1, expect.stringMatching(/^ERR_IO: .*(a pipe or device|pipe)/m)]);
    }
  });

  test("score and evaluate name them in their JSON", async () => {
    const [detector, spoiltData] = [directory.path("d.safetensors"), spoilt];
    rmSync(join(spoilt, "dog/up"), { force: true }); // as a data set it may have no loop
    const two = directory.path("two.safetensors");
    const model = await ResNet.create({ numClasses: 2, imageSize: 8, inChannels: 3, width: 1 / 16, seed: 1, normalization: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] } }); // prettier-ignore
    await model.save(two);
    model.dispose();
    await good(["fit", two, photos, "--calibration", others, "--false-alarm-rate", "0.2", "--score", "energy", "--no-self-test", "--out", detector]); // prettier-ignore
    const { stdout } = await cli(["score", detector, "--data", spoiltData, "--skip-errors", "--json"]);
    const lines = stdout.trim().split("\n").map((line) => JSON.parse(line) as { image: string; error?: { code: string } }); // prettier-ignore
    expect(lines.map(({ image, error }) => [image, error?.code]).slice(0, 3)).toEqual(
      [["cat/0.png", "ERR_CORRUPT_FILE"], ["cat/3.heic", "ERR_CORRUPT_FILE"], ["dog/2.png", "ERR_IO"]].map(([name, code]) => [join(spoilt, name as string), code]), // prettier-ignore
    );
    const result = await json<{ skipped: object[] }>(["evaluate", detector, "--test", others, "--allow-overlap", "--ood", spoilt, "--skip-errors"]); // prettier-ignore
    expect(result.skipped.map((entry) => (entry as { path: string }).path)).toEqual(lines.slice(0, 3).map(({ image }) => image));
  });

  test("--max-pixels", async () => {
    const out = directory.path("small");
    const { code, stderr } = await cli(["extract", network, photos, "--max-pixels", "63", "--out", out]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^ERR_CORRUPT_FILE: .*at most 63 pixels .*found 8×8/m)]);
    await good(["extract", network, photos, "--max-pixels", "64", "--out", out]);
  });

  test("train leaves them out too, and lists them beside the network", async () => {
    const out = directory.path("trained.safetensors");
    const args = ["train", spoilt, "--image-size", "8", "--width", "0.0625", "--epochs", "1", "--batch-size", "2", "--out", out];
    const failed = await cli(args);
    expect([failed.code, failed.stderr]).toEqual([1, expect.stringMatching(/--skip-errors leaves out/)]);
    expect((await json<{ images: number; skipped: unknown[] }>([...args, "--skip-errors"])).skipped).toHaveLength(3);
    expect(readFileSync(directory.path("trained.skipped.jsonl"), "utf8").trim().split("\n")).toHaveLength(3);
  });
});

describe("names", () => {
  test("arrays are called by their names, whatever --out looks like; folders are made; other endings are refused", async () => {
    for (const out of [`${directory.path("")}/./x/../y/`, directory.path("new folder/x.SafeTensors")]) {
      const { arrays } = await extract(join(photos, "cat"), "--out", out);
      expect(arrays.map(({ name }) => name)).toEqual(["features", "logits"]);
      await readExtracted(out);
    }
    for (const out of ["x.npy", "x.npz", "x.CSV", ""]) {
      const { code, stderr } = await cli(["extract", network, photos, "--out", out]);
      expect([code, stderr]).toEqual([2, expect.stringContaining("Expected a folder")]);
    }
    const { code, stderr } = await cli(["extract", network, photos, "--out", join(photos, "cat/0.png")]);
    expect([code, stderr]).toEqual([1, expect.stringContaining("expected a folder, found a file")]);
  });

  test("a line break in a name is quoted in the list, which can be read again", async () => {
    const odd = directory.path("odd");
    mkdirSync(odd);
    for (const name of ["a\nb.png", '"q".png']) copyFileSync(join(photos, "cat/0.png"), join(odd, name));
    const { images } = await extract(odd, "--out", directory.path("odd out"));
    expect(readFileSync(images as string, "utf8")).toBe(`${odd}/"q".png\n"${odd}/a\\nb.png"\n`);
    expect(await extract("--files-from", images as string, "--out", directory.path("odd again"))).toMatchObject({ count: 2 });
  });

  test("the numbers of folders: by the names of the network or of a file; of one folder alone they are not guessed", async () => {
    const out = directory.path("numbers");
    const { code, stderr } = await cli(["extract", network, join(photos, "dog"), "--labels-from-folders", "--out", out]);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/^ERR_OPTION: --labels-from-folders: expected folders of at least two classes/),
    ]);
    const names = directory.put("names.txt", "bird\ncat\ndog\n");
    const printed = await extract(join(photos, "dog"), "--labels-from-folders", "--class-names", names, "--out", out);
    expect([readFileSync(printed.classes as string, "utf8"), (await features(out, "labels"))[0]]).toEqual(["bird\ncat\ndog\n", 2]);
    const wrong = await cli(["extract", network, photos, "--labels-from-folders", "--class-names", directory.put("cat.txt", "cat\n"), "--out", out]); // prettier-ignore
    expect([wrong.code, wrong.stderr]).toEqual([
      1,
      expect.stringMatching(/expected a folder named as one of the classes cat, found "dog"/),
    ]);
    // Names without labels would be ignored.
    const alone = await cli(["extract", network, photos, "--class-names", names, "--out", out]);
    expect([alone.code, alone.stderr]).toEqual([2, expect.stringContaining("expected --labels-from-folders beside --class-names")]);
    // A dot in the path of a folder is no folder of its own.
    const dotted = await extract(`${photos}/cat/.`, `${photos}/./dog/./`, "--labels-from-folders", "--out", directory.path("dotted"));
    expect(readFileSync(dotted.classes as string, "utf8")).toBe("cat\ndog\n");
  });
});

test("paths on standard input", async () => {
  const out = directory.path("piped");
  const child = spawn(process.execPath, [join(packageRoot, "dist/cli/main.js"), "extract", network, "-", "--out", out], { stdio: ["pipe", "ignore", "inherit"] }); // prettier-ignore
  child.stdin.end(["cat/0.png", "dog/1.png"].map((name) => `${join(photos, name)}\0`).join(""));
  expect(await new Promise((resolve) => child.on("close", resolve))).toBe(0);
  expect(readFileSync(join(out, "images.txt"), "utf8")).toBe(`${join(photos, "cat/0.png")}\n${join(photos, "dog/1.png")}\n`);
});
