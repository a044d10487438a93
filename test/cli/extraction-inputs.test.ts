// What the command line makes of lists of images, of paths that are not there, and of outputs that are inputs too.

import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { ResNet } from "../../lib";
import { labelsByFolder, listImages, noClass } from "../../lib/cli/image-files";
import { readPaths } from "../../lib/formats/path-list";
import { readNpy } from "../../lib/formats/npy";
import { temporaryDirectory } from "../support/temporary-directory";
import { libraryFailureOf, useOneThread } from "../models/resnet/tiny-network";
import { cli, json } from "./command";

useOneThread();
const directory = temporaryDirectory();
const network = directory.path("network.safetensors");
const photos = directory.path("photos");
const photo = (name: string): string => join(photos, name);

beforeAll(async () => {
  const model = await ResNet.create({ numClasses: 3, imageSize: 8, inChannels: 3, width: 1 / 16, seed: 1, normalization: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] } }); // prettier-ignore
  await model.save(network);
  model.dispose();
  const image = await sharp({ create: { width: 8, height: 8, channels: 3, background: "#123456" } }).png().toBuffer(); // prettier-ignore
  for (const name of ["cat/0.png", "cat/1.png", "dog/0.png"]) {
    mkdirSync(photo(name.slice(0, 3)), { recursive: true });
    writeFileSync(photo(name), image);
  }
});

const extract = (...args: string[]) => cli(["extract", network, ...args]);
const linesOf = (path: string): string[] => readFileSync(path, "utf8").trim().split("\n");

describe("lists", () => {
  test("several are read one after the other; standard input once", async () => {
    const [first, second] = [directory.put("first.txt", `${photo("dog/0.png")}\n`), directory.put("second.txt", `${photo("cat/0.png")}\n`)];
    const out = directory.path("several");
    await extract(photo("cat/1.png"), "--files-from", first, "--files-from", second, "--out", out);
    expect(linesOf(join(out, "images.txt"))).toEqual(["cat/1.png", "dog/0.png", "cat/0.png"].map(photo));
    const { code, stderr } = await extract("-", "-", "--out", out);
    expect([code, stderr]).toEqual([1, "ERR_OPTION: -: expected standard input to be named once, found it 2 times\n"]);
  });

  test("a pipe is waited for until there is a writer, or an abort", async () => {
    const pipe = directory.path("pipe");
    execFileSync("mkfifo", [pipe]);
    const silent = await libraryFailureOf(() => readPaths(pipe, AbortSignal.timeout(50)));
    expect(silent).toMatchObject({ code: "ERR_ABORTED" });
    const read = readPaths(pipe, undefined);
    await writeFile(pipe, "a.png\nb.png\n");
    expect(await read).toEqual(["a.png", "b.png"]);
    expect(await libraryFailureOf(() => readPaths(pipe, AbortSignal.abort()))).toMatchObject({ code: "ERR_ABORTED" });
  });

  test("--subset and --seed draw from a data set: without one they would be ignored", async () => {
    for (const option of ["--subset", "--seed"]) {
      const { code, stderr } = await extract(photos, option, "1", "--out", directory.path("subset"));
      expect([code, stderr]).toEqual([2, expect.stringContaining(`expected --data beside ${option}`)]);
    }
  });
});

describe("--labels-from-folders --skip-errors", () => {
  const names = (): string => directory.put("names.txt", "cat\ndog\n");

  test("a path that is not there is left out, whatever folder it would be in", async () => {
    const out = directory.path("labels");
    const gone = [photo("gone"), photo("bird/0.png"), photo("cat/9.png")];
    const { code } = await extract(photos, ...gone, "--labels-from-folders", "--class-names", names(), "--skip-errors", "--out", out);
    expect(code).toBe(0);
    expect(Array.from((await readNpy(join(out, "labels.npy"))).data, Number)).toEqual([0, 0, 1]);
    expect(linesOf(join(out, "skipped.jsonl")).map((line) => (JSON.parse(line) as { path: string }).path)).toEqual(gone);
  });

  test("an image that is there has to be in the folder of a class, also where it came after the list was made", async () => {
    mkdirSync(photo("fox"));
    copyFileSync(photo("cat/0.png"), photo("fox/0.png"));
    const { code, stderr } = await extract(photo("cat"), photo("fox"), "--labels-from-folders", "--class-names", names(), "--skip-errors", "--out", directory.path("foxes")); // prettier-ignore
    expect([code, stderr]).toEqual([1, expect.stringMatching(/expected a folder named as one of the classes cat, dog, found "fox"/)]);
    const { files } = await listImages([photo("fox/1.png"), photo("cat/0.png")], { signal: undefined, keepUnreadable: true });
    expect(Array.from(labelsByFolder(files, ["cat", "dog"]).labels)).toEqual([-1, 0]);
    expect(noClass(files[0]!, ["cat", "dog"]).message).toContain(
      'fox/1.png: expected a folder named as one of the classes cat, dog, found "fox"',
    );
  });
});

describe("an output that is an input is refused before anything is read", () => {
  test("the network, by its own name and by a link", async () => {
    const link = directory.path("link.safetensors");
    symlinkSync(network, link);
    const before = readFileSync(network);
    for (const [model, out] of [
      [network, network],
      [link, network],
      [network, link],
    ] as const) {
      const { code, stderr } = await cli(["extract", model, photos, "--out", out]);
      expect([code, stderr]).toEqual([1, `ERR_OPTION: --out: expected another file than <model>, found ${out} for both\n`]);
    }
    expect(readFileSync(network).equals(before)).toBe(true);
  });

  test("a list of images that is one's own; that of an earlier run may be read again", async () => {
    const out = directory.path("own");
    mkdirSync(out);
    const list = join(out, "images.txt");
    writeFileSync(list, `${photos}\n`);
    const { code, stderr } = await extract("--files-from", list, "--out", out);
    expect([code, stderr]).toEqual([1, `ERR_OPTION: --out: expected another file than --files-from, found ${list} for both\n`]);
    expect(linesOf(list)).toEqual([photos]);
    const again = directory.path("again");
    await json(["extract", network, photo("cat"), "--out", again]);
    expect(await json(["extract", network, "--files-from", join(again, "images.txt"), "--out", again])).toMatchObject({ count: 2 });
  });

  test("a link to what is not there is no folder", async () => {
    const link = directory.path("nowhere");
    symlinkSync(directory.path("no such folder"), link);
    const { code, stderr } = await extract(photos, "--out", link);
    expect([code, stderr]).toEqual([1, `ERR_IO: cannot create ${link}: ${link}: expected a folder, found a link to what is not there\n`]);
    expect(existsSync(directory.path("no such folder"))).toBe(false);
  });
});
