// SVHN's files as scipy writes them (test/reference/datasets_svhn.py); the MATLAB 5 reader itself is tested in test/formats/mat5.test.ts.

import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { svhn } from "../../../lib/data";
import expected from "../../reference/datasets_svhn.json";
import { temporaryDirectory } from "../../support/temporary-directory";
import { matrix, matFile } from "../../formats/mat5-writer";

const directory = temporaryDirectory();
const images = Buffer.from(expected.images, "base64");

/** A folder with files of test/reference under the names of SVHN. */
function folder(name: string, files: Record<string, string>): string {
  mkdirSync(directory.path(name), { recursive: true });
  for (const [target, source] of Object.entries(files)) {
    copyFileSync(join(__dirname, "../../reference", `datasets_svhn_${source}.mat`), directory.path(`${name}/${target}_32x32.mat`));
  }
  return directory.path(name);
}

test.each(["deflated", "plain", "mixed"])("%s: images channel by channel and row by row, label 10 becomes 0", async (source) => {
  const { test: held } = await svhn(folder(source, { test: source }), { splits: ["test"] });
  expect(held.length).toBe(source === "deflated" ? 6 : 2);
  expect(Buffer.from(held.images).equals(images.subarray(0, held.images.length))).toBe(true);
  expect(Array.from(held.labels)).toEqual(expected.labels.slice(0, held.length));
  expect(held).toMatchObject({
    name: "SVHN test",
    shape: [3, 32, 32],
    normalization: { mean: [0.4377, 0.4438, 0.4728], std: [0.198, 0.201, 0.197] },
  });
  expect(held.classNames).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
});

test("train and test by default, extra where asked for, in the directory or in svhn or SVHN below it", async () => {
  const root = folder("all", { train: "deflated", test: "plain", extra: "mixed" });
  const both = await svhn(root);
  expect(Object.keys(both)).toEqual(["train", "test"]);
  expect([both.train.length, both.test.length]).toEqual([6, 2]);
  const { extra } = await svhn(root, { splits: ["extra"] });
  expect(extra).toMatchObject({ name: "SVHN extra", length: 2 });
  for (const name of ["svhn", "SVHN"]) {
    folder(`parent of ${name}/${name}`, { test: "plain" });
    expect((await svhn(directory.path(`parent of ${name}`), { splits: ["test"] })).test.length).toBe(2);
  }
});

test("one image: MATLAB leaves out the last dimension", async () => {
  const X = matrix({ name: "X", shape: [32, 32, 3], data: new Uint8Array(3072).fill(7) });
  const y = matrix({ name: "y", shape: [1, 1], data: Uint8Array.of(10) });
  mkdirSync(directory.path("one"));
  directory.put("one/test_32x32.mat", matFile(X, y));
  const { test: held } = await svhn(directory.path("one"), { splits: ["test"] });
  expect([held.length, held.labels[0], held.images[3071]]).toEqual([1, 0, 7]);
});

test("labels as SciPy writes NumPy's default integers", async () => {
  const X = matrix({ name: "X", shape: [32, 32, 3, 2], data: new Uint8Array(6144) });
  const data = new Uint8Array(BigInt64Array.of(10n, 3n).buffer);
  for (const [name, shape] of [
    ["column", [2, 1]],
    ["row", [1, 2]],
  ] as const) {
    mkdirSync(directory.path(name));
    directory.put(`${name}/test_32x32.mat`, matFile(X, matrix({ name: "y", flags: 14, type: 12, shape: [...shape], data })));
    expect(Array.from((await svhn(directory.path(name), { splits: ["test"] })).test.labels)).toEqual([0, 3]);
  }
});

const X = { name: "X", shape: [32, 32, 3, 2], data: new Uint8Array(6144) };
const y = { name: "y", shape: [2, 1], data: Uint8Array.of(10, 1) };

test.each<[string, Parameters<typeof matrix>[0][], string]>([
  ["labels fewer than images", [X, { ...y, shape: [1, 1], data: Uint8Array.of(3) }], "2 labels in y, one per image of X, found 1"],
  // Before the values of either are read: those of these labels are not even there.
  [
    "labels for another set",
    [{ ...y, flags: 6, type: 9, shape: [500_000_000, 1] }, X],
    "2 labels in y, one per image of X, found 500000000",
  ],
  ["label 0", [X, { ...y, data: Uint8Array.of(1, 0) }], "labels from 1 to 10 in y, found 0 for image 1"],
  ["label 11", [X, { ...y, data: Uint8Array.of(11, 1) }], "labels from 1 to 10 in y, found 11 for image 0"],
  ["labels in a square", [X, { ...y, shape: [2, 2], data: Uint8Array.of(1, 2, 3, 4) }], "y to be a column of labels, found uint8 [2, 2]"],
  ["no labels", [X], 'an array "y", found only "X"'],
  [
    "no images",
    [{ ...X, shape: [32, 32, 3, 0], data: new Uint8Array(0) }, y],
    "X to be uint8 [32, 32, 3, N], N images, found uint8 [32, 32, 3, 0]",
  ],
  ["images first", [{ ...X, shape: [2, 32, 32, 3] }, y], "X to be uint8 [32, 32, 3, N], N images, found uint8 [2, 32, 32, 3]"],
  ["images of floats", [{ ...X, flags: 6 }, y], "X to be uint8 [32, 32, 3, N], N images, found double [32, 32, 3, 2]"],
  ["images stored signed", [{ ...X, type: 1 }, y], "X to be stored as bytes, found a Int8Array"],
])("%s: ERR_CORRUPT_FILE that says so", async (_, arrays, message) => {
  mkdirSync(directory.path("wrong"), { recursive: true });
  const path = directory.put("wrong/test_32x32.mat", matFile(...arrays.map(matrix)));
  const error = (await svhn(directory.path("wrong"), { splits: ["test"] }).catch((reason: unknown) => reason)) as Error;
  expect(error).toMatchObject({ name: "LibtorchOodError", code: "ERR_CORRUPT_FILE" });
  expect(error.message).toContain(`${path}: expected ${message}`);
});

test("nothing there: ERR_IO; wrong options: ERR_OPTION", async () => {
  await expect(svhn(directory.path("absent"), { splits: ["test"] })).rejects.toMatchObject({
    code: "ERR_IO",
    message: expect.stringContaining("cannot find the test split of SVHN (cropped digits): none of test_32x32.mat in") as string,
  });
  await expect(svhn("data", { split: "test" } as never)).rejects.toMatchObject({ code: "ERR_OPTION" });
  await expect(svhn("data", { splits: ["validation" as "test"] })).rejects.toMatchObject({ code: "ERR_OPTION" });
  await expect(svhn(3 as never)).rejects.toMatchObject({ code: "ERR_OPTION" });
});
