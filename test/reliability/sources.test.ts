// Sources on a large scale: training from shards that is killed at any moment ends as if it had not been; sets larger than the memory that there is.

import { spawnSync } from "node:child_process";
import { existsSync, linkSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import sharp from "sharp";
import { create } from "tar";
import { openModelFile } from "../../lib/models/resnet/model-file";
import { temporaryDirectory } from "../support/temporary-directory";
import { figures, times } from "./campaign";
import { answerOf, run } from "./child";

const directory = temporaryDirectory();

/** A picture of noise, which compresses to about its own size, brighter by its class. */
async function picture(size: number, seed: number, classes: number): Promise<Buffer> {
  let state = seed + 1;
  const pixels = Uint8Array.from({ length: size * size * 3 }, () => {
    state = Math.imul(state, 1664525) + 1013904223;
    return (state >>> 25) + (seed % classes) * 60;
  });
  return sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
    .png({ compressionLevel: 0 })
    .toBuffer();
}

/** Writes shards of pictures with their labels. Gives their pattern. */
async function writeShards(name: string, shards: number, perShard: number, size: number, classes: number): Promise<string> {
  const folder = directory.path(name);
  mkdirSync(folder, { recursive: true });
  for (let shard = 0, i = 0; shard < shards; shard++) {
    const members: string[] = [];
    for (let n = 0; n < perShard; n++, i++) {
      writeFileSync(join(folder, `${i}.png`), await picture(size, i, classes));
      writeFileSync(join(folder, `${i}.cls`), String(i % classes));
      members.push(`${i}.png`, `${i}.cls`);
    }
    await create({ file: join(folder, `${String(shard).padStart(3, "0")}.tar`), cwd: folder }, members);
    for (const member of members) spawnSync("rm", [join(folder, member)]);
  }
  return join(folder, `{000..${String(shards - 1).padStart(3, "0")}}.tar`);
}

/** Weights, momentum and losses of a checkpoint. */
async function contents(path: string) {
  const file = await openModelFile(path);
  const bytes = (tensors: Awaited<ReturnType<typeof file.state>>) =>
    Object.fromEntries(tensors.map(({ name, tensor }) => [name, Buffer.from(tensor.toArray().buffer).toString("base64")]));
  const { training } = file.description;
  const found = { state: bytes(await file.state()), momentum: bytes(await file.momentum()), training };
  await file.close();
  return { ...found, losses: training?.history.map(({ loss, accuracy }) => [loss, accuracy]) };
}

test("training from tar shards, killed by SIGKILL at random moments, ends as an uninterrupted run", async () => {
  const shards = await writeShards("killed", 3, 14, 20, 3);
  const [whole, killed] = [directory.path("whole.safetensors"), directory.path("killed.safetensors")];
  const epochs = 3;
  const kills = times(4, 20);
  let inTheMiddle = 0;
  let done = 0;
  for (let i = 0; i < kills; i++) {
    const ending = await run("trains-from-shards.cjs", [shards, killed, epochs], {
      whenReady: async (child) => {
        const running = () => child.exitCode === null && child.signalCode === null;
        // The first may come before there is a checkpoint; of the others each lets a few batches be done.
        while (i > 0 && running() && !existsSync(killed)) await setTimeout(5);
        await setTimeout(i === 0 ? 20 : 60 + ((i * 37) % 90));
        child.kill("SIGKILL");
      },
    });
    if (ending.signal !== "SIGKILL") done++; // it was through before
    if (existsSync(killed) && (await contents(killed)).training?.epochSums !== undefined) inTheMiddle++;
  }
  await answerOf("trains-from-shards.cjs", [shards, killed, epochs]);
  await answerOf("trains-from-shards.cjs", [shards, whole, epochs]);
  const [found, expected] = [await contents(killed), await contents(whole)];
  figures("kill -9, training from shards", { kills: kills - done, checkpointsInTheMiddleOfAnEpoch: inTheMiddle });
  expect([found.state, found.momentum, found.losses]).toEqual([expected.state, expected.momentum, expected.losses]);
  expect(kills - done).toBeGreaterThan(0);
});

const withLimit = spawnSync("prlimit", ["--version"]).status === 0 ? test : test.skip;

// In a campaign the pictures have 1.5 times the bytes that the process may have; here they show that a run of this kind fits at all.
withLimit("shards of more bytes than the memory that the process may have", async () => {
  const limit = 1024 * 2 ** 20;
  const [size, count] = [160, times(256, 20_480)];
  const shards = await writeShards("large", 8, count / 8, size, 2);
  const { rows, most } = await answerOf<{ rows: number; most: number }>("extracts-from-source.cjs", ["tar", shards, size], {
    ...{ limit: 7e6, dataLimit: limit },
  });
  const bytes = count * size * size * 3;
  figures("shards larger than memory", {
    pictures: count,
    mebibytes: Math.round(bytes / 2 ** 20),
    limit: limit / 2 ** 20,
    resident: Math.round(most / 2 ** 20),
  });
  expect(rows).toBe(count);
  expect(most).toBeLessThan(limit);
});

test("very many small files: memory stays flat", async () => {
  const count = times(2000, 200_000);
  const folder = directory.path("many");
  const originals = 100;
  for (const name of ["a", "b"]) mkdirSync(join(folder, name), { recursive: true });
  mkdirSync(directory.path("originals"));
  for (let i = 0; i < originals; i++) writeFileSync(directory.path(`originals/${i}.png`), await picture(16, i, 2));
  for (let i = 0; i < count; i++) linkSync(directory.path(`originals/${i % originals}.png`), join(folder, i % 2 ? "b" : "a", `${i}.png`));
  const { rows, resident } = await answerOf<{ rows: number; resident: number[] }>("extracts-from-source.cjs", ["folder", folder, 16], {
    limit: 7e6,
  });
  const tenth = (n: number) =>
    Math.max(...resident.slice(Math.floor((n * resident.length) / 10), Math.ceil(((n + 1) * resident.length) / 10)));
  figures("small files", { files: count, residentMebibytes: [1, 5, 9].map((n) => Math.round(tenth(n) / 2 ** 20)) });
  expect(rows).toBe(count);
  expect(tenth(9)).toBeLessThan(1.05 * tenth(1));
});
