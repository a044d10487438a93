// Which files are images of a folder: each real folder once whatever links lead to it, no names with a leading dot, names of any bytes.

import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { imageTree, join as joinBytes } from "../../lib/images/image-tree";
import { listImages } from "../../lib/cli/image-files";
import { readPaths } from "../../lib/formats/path-list";
import { temporaryDirectory } from "../support/temporary-directory";
import { libraryFailureOf } from "../models/resnet/tiny-network";

const directory = temporaryDirectory();

function folder(name: string, files: readonly string[]): string {
  const root = directory.path(name);
  mkdirSync(root);
  for (const file of files) {
    mkdirSync(join(root, file, ".."), { recursive: true });
    writeFileSync(join(root, file), "x");
  }
  return root;
}

async function filesIn(root: string): Promise<string[]> {
  const { folders } = await imageTree(root, { signal: undefined, loops: "pass" });
  return folders.flatMap(({ folder: place, names }) => names.map((name) => joinBytes(place, name).toString()));
}

test("loops of links: every picture once, and at once", async () => {
  const one = folder("one", ["c/x.png"]);
  symlinkSync("..", join(one, "c/loop"));
  expect(await filesIn(one)).toEqual(["c/x.png"]);
  const many = folder("many", ["x.png", "deep/y.jpg"]);
  for (let i = 0; i < 6; i++) symlinkSync(".", join(many, `l${i}`));
  for (let i = 0; i < 6; i++) symlinkSync("..", join(many, `deep/up${i}`));
  expect(await filesIn(many)).toEqual(["x.png", "deep/y.jpg"]);
  expect((await listImages([many], { signal: undefined })).files.map(({ name }) => name)).toEqual([
    join(many, "deep/y.jpg"),
    join(many, "x.png"),
  ]);
});

test("no loop, but two links in each of 24 folders to the next: 2^24 paths, one picture", async () => {
  const root = folder("ladder", ["24/x.png"]);
  for (let i = 0; i < 24; i++) {
    mkdirSync(join(root, String(i)), { recursive: true });
    for (const side of ["a", "b"]) symlinkSync(`../${i + 1}`, join(root, String(i), side));
  }
  expect(await filesIn(root)).toEqual(["24/x.png"]);
});

test("a folder that is linked to is read under its own name, or once under the first link", async () => {
  const inside = folder("inside", ["z/real/x.png"]);
  symlinkSync("z/real", join(inside, "a"));
  expect(await filesIn(inside)).toEqual(["z/real/x.png"]);
  const outside = folder("outside", []);
  for (const name of ["b", "a"]) symlinkSync(join(inside, "z/real"), join(outside, name));
  expect(await filesIn(outside)).toEqual(["a/x.png"]);
});

test("names with a leading dot are left out, whatever they are; endings of any case and of JPEG's other names are not", async () => {
  const root = folder("dots", [
    "a.jpg",
    "._a.jpg",
    ".hidden/b.jpg",
    "B.JPEG",
    "c.jfif",
    "d.Jpe",
    "e.WebP",
    "f.GIF",
    "g.tif",
    "h.TIFF",
    "i.avif",
    "notes.txt",
    "dir.jpg/f.png",
  ]);
  symlinkSync(join(root, "a.jpg"), join(root, ".link.jpg"));
  expect(await filesIn(root)).toEqual([
    "B.JPEG",
    "a.jpg",
    "c.jfif",
    "d.Jpe",
    "e.WebP",
    "f.GIF",
    "g.tif",
    "h.TIFF",
    "i.avif",
    "dir.jpg/f.png",
  ]);
  // The folder that was named itself is taken, whatever its name.
  expect(await filesIn(join(root, ".hidden"))).toEqual(["b.jpg"]);
});

test("image files of other formats are counted; alone they are an error that names them", async () => {
  const root = folder("formats", ["a.jpg", "b.heic", "c.HEIC", "d.jxl", "only/e.bmp", "._f.heic"]);
  expect((await listImages([root], { signal: undefined })).passedOver).toEqual({ ".jxl": 1, ".bmp": 1, ".heic": 2 });
  const error = await libraryFailureOf(() => listImages([join(root, "only")], { signal: undefined }));
  expect(error).toMatchObject({ code: "ERR_IO", message: expect.stringContaining("(there are 1 .bmp)") });
});

const unix = process.platform === "win32" ? test.skip : test;

unix("names that are not UTF-8, and names with line breaks", async () => {
  const root = folder("bytes", ["a\nb.jpg"]);
  let possible = true;
  try {
    writeFileSync(Buffer.concat([Buffer.from(`${root}/latin1-`), Buffer.from([0xe9]), Buffer.from(".jpg")]), "x");
  } catch {
    possible = false; // macOS takes UTF-8 only
  }
  const { files } = await listImages([root], { signal: undefined });
  expect(files.map(({ name }) => name)).toEqual([`"${root}/a\\nb.jpg"`, ...(possible ? [`"${root}/latin1-\\351.jpg"`] : [])]);
  if (possible) expect((files[1]?.image as URL).href).toBe(`file://${root}/latin1-%e9.jpg`);
});

unix("a folder that may not be read: an error, or one more file that cannot be read", async () => {
  if (process.getuid?.() === 0) return; // who may read everything
  const root = folder("closed", ["a.jpg", "secret/b.jpg"]);
  chmodSync(join(root, "secret"), 0);
  expect(await libraryFailureOf(() => listImages([root], { signal: undefined }))).toMatchObject({ code: "ERR_IO" });
  const { files } = await listImages([root], { signal: undefined, keepUnreadable: true });
  expect(files.map(({ name }) => name)).toEqual([join(root, "a.jpg"), join(root, "secret")]);
  chmodSync(join(root, "secret"), 0o700);
});

test("a listing obeys its signal", async () => {
  const root = folder("long", ["a/x.png", "b/x.png"]);
  expect(await libraryFailureOf(() => listImages([root], { signal: AbortSignal.abort() }))).toMatchObject({ code: "ERR_ABORTED" });
});

describe("lists of paths", () => {
  const read = (content: Uint8Array | string) => readPaths(directory.put("list.txt", content), undefined);

  test("one a line, with either line end, quoted ones unquoted; or ended by NUL", async () => {
    expect(await read('a.jpg\r\n\n"b\\nc.jpg"\n d .jpg')).toEqual(["a.jpg", "b\nc.jpg", " d .jpg"]);
    expect(await read('a\nb.jpg\0"c".jpg\0')).toEqual(["a\nb.jpg", '"c".jpg']);
    expect(await read(Buffer.from([0x61, 0xe9, 0x0a]))).toEqual([Buffer.from([0x61, 0xe9])]);
  });

  test("what is no list", async () => {
    expect(await libraryFailureOf(() => read("\n\n"))).toMatchObject({ code: "ERR_IO" });
    expect(await libraryFailureOf(() => read("x".repeat(40_000)))).toMatchObject({ code: "ERR_CORRUPT_FILE" });
    expect(await libraryFailureOf(() => readPaths(directory.path("no list"), undefined))).toMatchObject({ code: "ERR_IO" });
    expect(await libraryFailureOf(() => readPaths(directory.path(""), undefined))).toMatchObject({ code: "ERR_IO" });
  });
});
