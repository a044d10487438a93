// The MATLAB 5 reader finds what scipy finds (test/reference/datasets_svhn.py), and answers hostile files with ERR_CORRUPT_FILE, soon and with little memory.

import { join } from "node:path";
import { constants, deflateSync } from "node:zlib";
import { readMat5, type MatArray } from "../../lib/formats/mat5";
import expected from "../reference/datasets_svhn.json";
import { deflated, element, header, matFile, matrix, words } from "./mat5-writer";
import { countTurns } from "../support/event-loop";
import { temporaryDirectory } from "../support/temporary-directory";

const directory = temporaryDirectory();
const reference = (name: string): string => join(__dirname, "../reference", name);
const accept = (): void => undefined;

const file = (...parts: Uint8Array[]): string => directory.put("file.mat", matFile(...parts));

async function refusal(path: string, names = ["a"]): Promise<string> {
  const error = (await readMat5(path, names, accept).catch((reason: unknown) => reason)) as Error;
  expect(error).toMatchObject({ name: "LibtorchOodError", code: "ERR_CORRUPT_FILE" });
  expect(error.message.startsWith(`${path}: expected `)).toBe(true);
  return error.message.slice(path.length + 2);
}

const summary = ({ className, shape, values }: MatArray) => ({ className, shape, values: Array.from(values as ArrayLike<number>, Number) });

describe("what scipy wrote", () => {
  const names = Object.keys(expected.arrays) as (keyof typeof expected.arrays)[];

  test("arrays of every numeric class, small and large elements", async () => {
    const found = await readMat5(reference("datasets_mat_classes.mat"), names, accept);
    for (const name of names) {
      const { dtype, shape, values } = expected.arrays[name];
      const className = dtype.replace("float64", "double").replace("float32", "single");
      expect({ name, ...summary(found.get(name) as MatArray) }).toEqual({ name, className, shape, values });
    }
  });

  test("only what is asked for, among cells, structures, text, complex and empty arrays", async () => {
    const seen: string[] = [];
    const found = await readMat5(reference("datasets_svhn_mixed.mat"), ["y"], ({ name }) => void seen.push(name));
    expect([...found.keys()]).toEqual(["y"]);
    expect(seen).toEqual(["y"]);
    expect(summary(found.get("y") as MatArray)).toEqual({ className: "double", shape: [2, 1], values: [10, 1] });
  });

  test.each([
    ["cells", "to be numeric, found cell"],
    ["fields", "to be numeric, found struct"],
    ["text", "to be numeric, found char"],
    ["complex", "to be real, found complex numbers"],
    ["nothing", 'expected an array "nothing", found only "text", "cells", "fields", "y", "after_y", "X", "complex", "empty", "logical"'],
  ])("%s asked for: refused", async (name, message) => {
    expect(await refusal(reference("datasets_svhn_mixed.mat"), [name])).toContain(message);
  });
});

test("both byte orders, as they are and deflated, and values narrower than their class", async () => {
  const plain = await readMat5(file(matrix({ flags: 6 })), ["a"], accept);
  expect(summary(plain.get("a") as MatArray)).toEqual({ className: "double", shape: [2, 3], values: [1, 2, 3, 4, 5, 6] });
  const inStream = await readMat5(file(deflated(matrix({}))), ["a"], accept);
  expect(summary(inStream.get("a") as MatArray).values).toEqual([1, 2, 3, 4, 5, 6]);
  const numbers = Buffer.alloc(16);
  numbers.writeDoubleBE(0.5, 0);
  numbers.writeDoubleBE(-3e300, 8);
  const path = directory.put(
    "big.mat",
    Buffer.concat([header("MI"), matrix({ flags: 6, shape: [1, 2], type: 9, data: numbers, order: "MI" })]),
  );
  expect(summary((await readMat5(path, ["a"], accept)).get("a") as MatArray).values).toEqual([0.5, -3e300]);
});

test("an array whose last padding was left out, in the stream and in its own length", async () => {
  const whole = matrix({});
  const cut = Buffer.from(whole.subarray(0, whole.length - 2));
  cut.writeUInt32LE(cut.length - 8, 4);
  for (const path of [file(cut), file(deflated(cut))]) {
    expect(summary((await readMat5(path, ["a"], accept)).get("a") as MatArray).values).toEqual([1, 2, 3, 4, 5, 6]);
  }
});

test("strings, tables and other objects before the array are passed over; asked for, they are refused", async () => {
  // As MATLAB writes a string: flags of class 17, its name, the names of its system and class, and a reference.
  const parts = [
    element(6, words([17, 0])),
    element(1, Buffer.from("note")),
    element(1, Buffer.from("MCOS")),
    element(1, Buffer.from("string")),
  ];
  const string = element(14, Buffer.concat([...parts, matrix({ name: "" })]));
  for (const before of [string, deflated(string)]) {
    const path = file(before, matrix({}));
    expect(summary((await readMat5(path, ["a"], accept)).get("a") as MatArray).values).toEqual([1, 2, 3, 4, 5, 6]);
    await expect(readMat5(path, ["note"], accept)).rejects.toMatchObject({
      code: "ERR_CORRUPT_FILE",
      message: expect.stringContaining('array "note" to be numeric, found opaque') as string,
    });
  }
});

test("what check throws ends the read before memory is taken", async () => {
  const path = file(matrix({ shape: [1 << 15, 1 << 15], data: Buffer.alloc(8) }));
  const error = new Error("not that one");
  await expect(
    readMat5(path, ["a"], ({ shape }) => {
      expect(shape).toEqual([1 << 15, 1 << 15]);
      throw error;
    }),
  ).rejects.toBe(error);
});

const sound = matrix({});
const stream = deflated(sound);

test.each<[string, Uint8Array[], string]>([
  ["nothing after the header", [], 'expected an array "a", found no arrays'],
  ["half a tag", [Buffer.alloc(5)], "at least 136 bytes, found the end of the file at byte 133"],
  ["another element than an array", [element(9, Buffer.alloc(8))], "expected an array (type 14 or 15) at byte 128, found type 9"],
  ["an array beyond the file", [sound.subarray(0, sound.length - 8)], "the end of the file"],
  ["two arrays of one name, once all are found", [sound, sound], 'expected one array "a", found two'],
  ["the second deflated, behind others", [sound, matrix({ name: "c" }), deflated(sound)], 'expected one array "a", found two'],
  ["two arrays of one name", [sound, sound, matrix({ name: "b" })], 'expected one array "a", found two'],
  ["values of another length", [matrix({ shape: [2, 4] })], 'expected 8 bytes for [2, 4] in array "a", found 6'],
  ["a negative size", [matrix({ shape: [2, 2 ** 32 - 3] })], "2 or more sizes of an array, none negative, found [2, -3]"],
  ["one size", [matrix({ shape: [6] })], "2 or more sizes of an array"],
  ["sizes that no memory holds", [matrix({ shape: [2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1] })], 'in array "a", found 6'],
  ["sizes where flags should be", [element(14, element(5, words([1, 1])))], "the flags of an array (type 6), found type 5"],
  ["values of no type", [matrix({ type: 11 })], 'expected numbers in array "a", found type 11'],
  ["text for values", [matrix({ type: 16 })], 'expected numbers in array "a", found type 16'],
  ["a sparse array", [matrix({ flags: 5 })], 'expected array "a" to be numeric, found sparse'],
  ["a class of none", [matrix({ flags: 99 })], 'expected array "a" to be numeric, found class 99'],
  ["complex numbers", [matrix({ flags: 9 | 0x800 })], 'expected array "a" to be real, found complex numbers'],
  ["an element longer than its array", [element(14, words([6, 80, 9, 0]))], "at most 8 bytes for the flags of an array, found 80"],
  [
    "bytes after the values",
    [element(14, Buffer.concat([sound.subarray(8), Buffer.alloc(8)]))],
    "to end with its values, found 8 bytes more",
  ],
  ["a stream cut off", [words([15, stream.length - 12]), stream.subarray(8, -4)], "expected a whole zlib stream at byte 136"],
  [
    "a stream with a wrong checksum",
    [Buffer.concat([stream.subarray(0, -1), Buffer.from([~(stream.at(-1) as number)])])],
    "incorrect data check",
  ],
  ["a stream of something else", [deflated(element(9, Buffer.alloc(8)))], "expected an array (type 14) in what is deflated, found type 9"],
  ["no stream", [words([15, 8]), Buffer.alloc(8)], "expected a whole zlib stream at byte 136"],
  ["more in the stream than the array", [deflated(Buffer.concat([sound, sound]))], "to end with its array, found more bytes"],
  ["a stream shorter than its array", [deflated(element(14, sound.subarray(8, 40), "IM", 500))], "found its end after 0"],
])("%s", async (_, parts, message) => {
  expect(await refusal(file(...parts), ["a", "b"].slice(0, parts.length > 2 ? 2 : 1))).toContain(message);
});

test.each<[string, Uint8Array, string]>([
  ["no bytes", Buffer.alloc(0), "found 0 bytes"],
  ["half a header", header().subarray(0, 100), "found 100 bytes"],
  ["version 7.3", header("IM", 0x0200), "found version 7.3, which is HDF5 (save it with -v7)"],
  ["HDF5", Buffer.concat([Buffer.from("\x89HDF\r\n\x1a\n", "latin1"), Buffer.alloc(200)]), "found version 7.3, which is HDF5"],
  ["MATLAB 4", Buffer.alloc(200), "found another kind of file"],
  ["a Git LFS pointer", Buffer.from("version https://git-lfs.github.com/spec/v1\n"), "found a Git LFS pointer in place of the file"],
  ["a page", Buffer.from(`<!DOCTYPE html>${" ".repeat(200)}`), "found an HTML page in place of the file"],
])("%s: another format", async (_, content, message) => {
  const text = await refusal(directory.put("other.mat", content));
  expect(text).toContain("expected a MATLAB 5 file (saved with -v6 or -v7), ");
  expect(text).toContain(message);
});

test("behind the arrays that are asked for, others may be of any kind", async () => {
  for (const other of [
    element(14, Buffer.from("what is no array")),
    deflated(Buffer.from("nor this")),
    element(15, Buffer.from("nor zlib")),
  ]) {
    expect([...(await readMat5(file(sound, other), ["a"], accept)).keys()]).toEqual(["a"]);
  }
});

test("a claim of 4 GB in a stream of few bytes takes no memory; 16,384 arrays are the most", async () => {
  const claim = element(14, matrix({ shape: [1 << 16, 1 << 16] }).subarray(8), "IM", 2 ** 32 - 8);
  expect(await refusal(file(deflated(claim)))).toContain("expected an array of 4294967288 bytes, found deflated bytes for at most");
  const empty = Buffer.alloc(8 * 16_385);
  for (let i = 0; i < empty.length; i += 8) empty.writeUInt32LE(14, i);
  expect(await refusal(file(empty))).toContain("at most 16384 arrays");
});

test("a deflate bomb: 1 GB of zeros behind a sound array is not inflated", async () => {
  const block = (bytes: Uint8Array): Buffer => deflateSync(bytes, { finishFlush: constants.Z_FULL_FLUSH });
  const megabyte = block(new Uint8Array(1 << 20)).subarray(2);
  const bomb = Buffer.concat([block(sound), ...new Array<Buffer>(1024).fill(megabyte)]);
  const path = file(words([15, bomb.length]), bomb);
  const before = process.memoryUsage().rss;
  expect(await refusal(path)).toContain("to end with its array, found more bytes");
  expect(process.memoryUsage().rss - before).toBeLessThan(100e6);
});

test("reading 60 MB does not hold the event loop", async () => {
  const data = new Uint8Array(60_000_000).map((_, i) => i % 251);
  const path = file(deflated(matrix({ shape: [1000, 60_000], data })));
  const { result, turns } = await countTurns(() => readMat5(path, ["a"], accept));
  const { values } = result.get("a") as MatArray;
  expect(turns).toBeGreaterThan(5);
  expect(Buffer.from(values.buffer as ArrayBuffer).equals(data)).toBe(true);
});

test("what cannot be read: ERR_IO", async () => {
  await expect(readMat5(directory.path("absent"), ["a"], accept)).rejects.toMatchObject({ code: "ERR_IO", cause: { code: "ENOENT" } });
  await expect(readMat5(directory.path("."), ["a"], accept)).rejects.toMatchObject({ code: "ERR_IO" });
});
