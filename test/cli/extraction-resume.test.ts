// An extraction that is broken off, at any moment and by any means, is continued to the very bytes of one that was not.

import { spawn } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { ResNet } from "../../lib";
import { openFeatures } from "../../lib/formats/features-file";
import { readNpy } from "../../lib/formats/npy";
import { openExtraction } from "../../lib/cli/extraction-writer";
import type { ExtractionForm } from "../../lib/cli/extraction-arrays";
import { Tensor } from "../../lib/native/tensor";
import { packageRoot } from "../../lib/core/package-root";
import { libraryFailureOf, useOneThread } from "../models/resnet/tiny-network";
import { times, figures } from "../reliability/campaign";
import { temporaryDirectory } from "../support/temporary-directory";
import { cli } from "./command";

useOneThread();
const directory = temporaryDirectory();
const [rows, chunk] = [40, 5];
const form: ExtractionForm = { featureName: "features", featureDim: 3, numClasses: 2, count: rows, labels: true, images: true, classNames: ["a", "b"] }; // prettier-ignore
const identity = { "--batch-size": "64" };

/** Rows of one chunk; image 7 is left out. */
function chunkAt(start: number) {
  const kept = Array.from({ length: chunk }, (_, i) => start + i).filter((i) => i !== 7);
  const matrix = (columns: number) => Tensor.from(Float32Array.from({ length: kept.length * columns }, (_, i) => Math.sin(start * 10 + i)), [kept.length, columns]); // prettier-ignore
  return {
    features: matrix(3),
    logits: matrix(2),
    labels: Int32Array.from(kept, (i) => i % 2),
    names: kept.map((i) => `${i}.png`),
    skipped: start === 5 ? [{ index: 7, path: "7.png", code: "ERR_IO", reason: "gone" }] : [],
  };
}

const kinds: [string, string, Partial<ExtractionForm>][] = [
  ["a folder", "folder", {}],
  ["a folder of float16", "half", { dtype: "float16" }],
  ["one file", "file.safetensors", { dtype: "bfloat16" }],
  ["shards", "shards.safetensors", { shardSize: 1000 }],
];

/** Everything in a folder, by path. */
function contents(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(files.map(({ parentPath, name }) => [join(parentPath, name).slice(folder.length), readFileSync(join(parentPath, name), "hex")]).sort()); // prettier-ignore
}

const place = (name: string, out: string): string => {
  mkdirSync(directory.path(name), { recursive: true });
  return directory.path(`${name}/${out}`);
};

/** Writes from where the run before was broken off, so many chunks, and ends or keeps it. */
async function run(out: string, more: Partial<ExtractionForm>, { chunks = Infinity, resume = true } = {}): Promise<boolean> {
  const writer = await openExtraction(out, { ...form, ...more }, { identity, resume });
  let start = writer.done.seen;
  try {
    for (let i = 0; i < chunks && start < rows; i++, start += chunk) await writer.write(chunkAt(start), "float32");
  } catch (error) {
    await writer.keep();
    throw error;
  }
  if (start < rows) return (await writer.keep()) === -1;
  await writer.commit();
  return true;
}

describe.each(kinds)("%s", (_, out, more) => {
  test("broken off after every chunk, and between them with damaged files", async () => {
    await run(place(`${out}-whole`, out), more);
    const expected = contents(directory.path(`${out}-whole`));
    expect(Object.keys(expected).filter((path) => /unfinished|tmp|lease/.test(path))).toEqual([]);
    const again = place(`${out}-again`, out);
    for (let done = false, i = 0; !done; i++) {
      expect(i).toBeLessThanOrEqual(rows / chunk + 1);
      done = await run(again, more, { chunks: 1 });
    }
    const damaged = place(`${out}-damaged`, out);
    for (const damage of ["torn", "cut", "changed"]) {
      await run(damaged, more, { chunks: 3, resume: damage !== "torn" });
      const staged = readdirSync(directory.path(`${out}-damaged`), { recursive: true, withFileTypes: true }).filter((entry) =>
        entry.isFile(),
      );
      const named = (pattern: RegExp): string => {
        const found = staged.filter(({ name }) => pattern.test(name)).at(-1)!;
        return join(found.parentPath, found.name);
      };
      if (damage === "torn") appendFileSync(named(/journal/), '0123456789abcdef {"pie');
      else if (damage === "cut") truncateSync(named(/logits/), Math.max(0, statSync(named(/logits/)).size - 3));
      else {
        const bytes = readFileSync(named(/images\.txt/));
        bytes[bytes.length - 3] = 0x41;
        writeFileSync(named(/images\.txt/), bytes);
      }
    }
    await run(damaged, more);
    expect(contents(directory.path(`${out}-damaged`))).toEqual(expected);
    expect(contents(directory.path(`${out}-again`))).toEqual(expected);
    const path = out.includes(".") ? join(directory.path(`${out}-whole`), out) : join(directory.path(`${out}-whole`), out);
    const file = await openFeatures(path);
    expect([file.length, file.classNames]).toEqual([rows - 1, ["a", "b"]]);
    for await (const { labels } of file.pieces({ rows: 7 })) expect(labels!.length).toBeGreaterThan(0); // and the checksums hold
    await file.close();
  });
});

test("the sizes of shards, and the next run of another kind removes them", async () => {
  const out = place("kinds", "x.safetensors");
  await run(out, { shardSize: 1000 });
  const shards = readdirSync(directory.path("kinds")).filter((name) => /x-\d{5}-of-\d{5}\.safetensors$/.test(name));
  expect(shards.length).toBeGreaterThan(1);
  for (const name of shards) expect(statSync(directory.path(`kinds/${name}`)).size).toBeLessThanOrEqual(1000);
  await run(out, {}, { resume: false });
  expect(readdirSync(directory.path("kinds")).sort()).toEqual(["x.classes.txt", "x.images.txt", "x.safetensors", "x.skipped.jsonl"]);
  await run(out, { shardSize: 2000 }, { resume: false });
  expect(existsSync(out)).toBe(false);
  const file = await openFeatures(out);
  expect(file.length).toBe(rows - 1);
  await file.close();
  const error = await libraryFailureOf(() => run(out, { shardSize: 100 }, { resume: false }));
  expect(error.message).toContain("--shard-size: expected at least");
});

test("another identity is refused by its name; without --resume the run begins anew", async () => {
  const out = place("identity", "folder");
  await run(out, {}, { chunks: 2 });
  const error = await libraryFailureOf(() => openExtraction(out, form, { identity: { "--batch-size": "8" }, resume: true }));
  expect([error.code, error.message]).toEqual(["ERR_OPTION", expect.stringContaining("--resume: expected 64 as --batch-size")]);
  const writer = await openExtraction(out, form, { identity });
  expect([writer.done.seen, writer.dropped]).toEqual([0, 10]);
  expect(await writer.keep()).toBe(0);
  expect(readdirSync(out)).toEqual([]);
});

test("a process that is killed at random moments", async () => {
  const network = directory.path("network.safetensors");
  const model = await ResNet.create({ numClasses: 3, imageSize: 8, inChannels: 3, width: 1 / 16, seed: 1, normalization: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] } }); // prettier-ignore
  await model.save(network);
  model.dispose();
  const photos = directory.path("photos");
  for (let i = 0; i < 400; i++) {
    mkdirSync(join(photos, i % 2 === 0 ? "cat" : "dog"), { recursive: true });
    const data = Buffer.from(Array.from({ length: 192 }, (_, k) => (k * (i + 2) * 37) % 256));
    await sharp(data, { raw: { width: 8, height: 8, channels: 3 } })
      .png()
      .toFile(join(photos, i % 2 === 0 ? "cat" : "dog", `${i}.png`));
  }
  writeFileSync(join(photos, "cat", "3.png"), "no picture");
  const args = (out: string) => ["extract", network, photos, "--labels-from-folders", "--skip-errors", "--chunk-size", "4", "--out", out];
  const found = { kills: 0, resumed: 0 };
  for (const [out, more] of [
    ["folder", []],
    ["x.safetensors", ["--shard-size", "20kB", "--dtype", "float16"]],
  ] as const) {
    const whole = place(`killed-whole-${out}`, out);
    const start = performance.now();
    const { code, stderr } = await cli([...args(whole), ...more]);
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    const took = performance.now() - start;
    const expected = contents(directory.path(`killed-whole-${out}`));
    const path = place(`killed-${out}`, out);
    for (let i = 0; i < times(3, 10); i++) {
      const child = spawn(process.execPath, [join(packageRoot, "dist/cli/main.js"), ...args(path), ...more, "--resume"], { stdio: "ignore", env: { ...process.env, OMP_NUM_THREADS: "1" } }); // prettier-ignore
      const timer = setTimeout(() => child.kill("SIGKILL"), took * (0.4 + 0.6 * Math.random()));
      const [exit, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => child.on("close", (...ended) => resolve(ended))); // prettier-ignore
      clearTimeout(timer);
      if (signal === "SIGKILL") found.kills++;
      else {
        expect(exit).toBe(0);
        expect(contents(directory.path(`killed-${out}`))).toEqual(expected);
        rmSync(directory.path(`killed-${out}`), { recursive: true });
        mkdirSync(directory.path(`killed-${out}`));
      }
    }
    const ended = await cli([...args(path), ...more, "--resume"]);
    if (/images had been done/.test(ended.stderr)) found.resumed++;
    expect(ended.code).toBe(0);
    expect(contents(directory.path(`killed-${out}`))).toEqual(expected);
    expect((await readSkipped(directory.path(`killed-${out}`))).map(({ path }) => path)).toEqual([join(photos, "cat", "3.png")]);
  }
  figures("extraction, killed and resumed", found);
}, 600_000);

async function readSkipped(folder: string): Promise<{ path: string }[]> {
  const list = readdirSync(folder, { recursive: true }).map(String).find((name) => name.endsWith("skipped.jsonl")) as string; // prettier-ignore
  if (existsSync(join(folder, "folder/features.npy"))) expect((await readNpy(join(folder, "folder/features.npy"))).shape[0]).toBe(400);
  return readFileSync(join(folder, list), "utf8").trim().split("\n").map((line) => JSON.parse(line) as { path: string }); // prettier-ignore
}
