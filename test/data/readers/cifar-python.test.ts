// CIFAR's Python version, in files that a few opcodes make as large as the published ones; the pickles themselves are tested in test/formats/pickle.test.ts.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cifar10, cifar100 } from "../../../lib/data";
import { array, byte, dictionary, list, scalar, text, typedArray } from "../../formats/pickle-writer";
import { temporaryDirectory } from "../../support/temporary-directory";

const directory = temporaryDirectory();

function pixels(count: number, seed: number): Buffer {
  const data = Buffer.alloc(count * 3072);
  for (let i = 0; i < count; i++) data.fill((i * 7 + seed) % 256, i * 3072, i * 3072 + 1024);
  return data;
}

const labels = (count: number, classes: number): Buffer => list(Array.from({ length: count }, (_, i) => byte(i % classes)));

describe("CIFAR-10", () => {
  const root = directory.path("cifar-10-batches-py");
  mkdirSync(root);
  const names = Array.from({ length: 10 }, (_, i) => `class ${i}`);
  const meta = dictionary({ num_cases_per_batch: byte(1), label_names: list(names.map(text)) });
  writeFileSync(join(root, "batches.meta"), meta);
  const batch = (content: Record<string, Buffer>): void =>
    writeFileSync(join(root, "test_batch"), dictionary({ data: array(10_000, pixels(10_000, 3)), labels: labels(10_000, 10), ...content }));
  const failure = async (): Promise<string> => {
    const error = (await cifar10(root, { splits: ["test"] }).catch((reason: unknown) => reason)) as Error;
    expect(error).toMatchObject({ name: "LibtorchOodError", code: "ERR_CORRUPT_FILE" });
    return error.message;
  };

  test("torchvision's folder, or the parent of it", async () => {
    batch({});
    for (const path of [directory.path("."), root]) {
      const { test: held } = await cifar10(path, { splits: ["test"] });
      expect(held).toMatchObject({ name: "CIFAR-10 test", length: 10_000, shape: [3, 32, 32], classNames: names });
      expect([held.labels[0], held.labels[9_999]]).toEqual([0, 9]);
      expect(Buffer.from(held.images).equals(pixels(10_000, 3))).toBe(true);
    }
  });

  const wanted = Int32Array.from({ length: 10_000 }, (_, i) => (i * 7) % 10);
  const bytesOf = (array: ArrayBufferView) => new Uint8Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength);
  const swapped = (array: Int32Array) => Buffer.from(bytesOf(array)).swap32();

  test.each<[string, Buffer]>([
    ["int64, NumPy's default", typedArray("i8", "<", [10_000], bytesOf(BigInt64Array.from(wanted, BigInt)))],
    ["bytes", typedArray("u1", "|", [10_000], Uint8Array.from(wanted))],
    ["big-endian int32", typedArray("i4", ">", [10_000], swapped(wanted))],
    ["a column of int16", typedArray("i2", "<", [10_000, 1], bytesOf(Int16Array.from(wanted)))],
    ["a list of scalars", list(Array.from(wanted, (label) => scalar("i8", "<", bytesOf(BigInt64Array.of(BigInt(label))))))],
    ["a list of long integers", list(Array.from(wanted, (label) => Buffer.from([0x8a, 1, label])))],
  ])("labels as %s", async (_, given) => {
    batch({ labels: given });
    expect((await cifar10(root, { splits: ["test"] })).test.labels).toEqual(wanted);
  });

  test.each<[string, Buffer, string]>([
    ["floats", typedArray("f8", "<", [10_000], new Uint8Array(80_000)), 'expected an array of integers, found "f8" [10000]'],
    ["a scalar of floats", list([scalar("f8", "<", new Uint8Array(8))]), 'expected a numpy integer, found "f8"'],
    ["one-hot", typedArray("u1", "|", [10_000, 10], new Uint8Array(100_000)), 'expected 10000 "labels", found "uint8" [10000, 10]'],
    ["a negative one", typedArray("i1", "|", [10_000], new Uint8Array(10_000).fill(255)), "from 0 to 9, found -1 in record 0"],
    ["a large one", list([Buffer.from([0x8a, 8, 0, 0, 0, 0, 0, 0, 0, 64])]), "expected an integer below 2^53"],
    ["another length than its type", typedArray("i8", "<", [10_000], new Uint8Array(10_000)), "as many bytes as"],
  ])("labels as %s are refused", async (_, given, message) => {
    batch({ labels: given });
    expect(await failure()).toContain(message);
  });

  test("data of another type, bytes behind the pickle, a key twice", async () => {
    batch({ data: typedArray("i2", "<", [10_000, 3072], new Uint8Array(2 * 10_000 * 3072)) });
    expect(await failure()).toContain('expected "data" of bytes [10000, 3072], found "int16" [10000, 3072]');
    const content = dictionary({ data: array(10_000, pixels(10_000, 3)), labels: labels(10_000, 10) });
    writeFileSync(join(root, "test_batch"), Buffer.concat([content, Buffer.from("more")]));
    expect(await failure()).toContain("expected the end of the file, found 4 bytes more");
    const key = Buffer.from("X\x06\0\0\0labels", "latin1");
    writeFileSync(join(root, "test_batch"), Buffer.concat([content.subarray(0, -2), key, labels(10_000, 10), Buffer.from("u.")]));
    expect(await failure()).toContain('expected each key once, found "labels" twice');
  });

  test("other counts, labels and keys", async () => {
    batch({ data: array(9_999, pixels(9_999, 3)) });
    expect(await failure()).toBe(`${join(root, "test_batch")}: expected "data" of bytes [10000, 3072], found 9999, 3072`);
    batch({ data: byte(3) });
    expect(await failure()).toContain('"data" of bytes [10000, 3072], found none');
    batch({ labels: labels(9_999, 10) });
    expect(await failure()).toContain('expected 10000 "labels", found 9999');
    batch({ labels: labels(10_000, 11) });
    expect(await failure()).toContain("expected a label from 0 to 9, found 10 in record 10");
    writeFileSync(join(root, "test_batch"), "hello");
    expect(await failure()).toContain(
      'expected a Python pickle of protocol 2 to 5 (pickle.dump(data, file, protocol=2) writes one), found text that begins "hello"',
    );
    writeFileSync(join(root, "batches.meta"), dictionary({ label_names: list([...names.slice(1), "class 1"].map(text)) }));
    expect(await failure()).toContain('batches.meta: expected 10 different class names in "label_names", found 10 entries');
    rmSync(join(root, "test_batch"));
    writeFileSync(join(root, "batches.meta"), meta);
    await expect(cifar10(root, { splits: ["test"] })).rejects.toMatchObject({ code: "ERR_IO" });
  });
});

test("CIFAR-100, with its coarse labels as a check", async () => {
  const root = directory.path("cifar-100-python");
  mkdirSync(root);
  writeFileSync(join(root, "meta"), dictionary({ fine_label_names: list(Array.from({ length: 100 }, (_, i) => text(`fine ${i}`))) }));
  const batch = { data: array(10_000, pixels(10_000, 5)), fine_labels: labels(10_000, 100), coarse_labels: labels(10_000, 20) };
  writeFileSync(join(root, "test"), dictionary(batch));
  const { test: held } = await cifar100(directory.path("."), { splits: ["test"] });
  expect(held).toMatchObject({ name: "CIFAR-100 test", length: 10_000 });
  expect([held.classNames[99], held.labels[99]]).toEqual(["fine 99", 99]);
  writeFileSync(join(root, "test"), dictionary({ ...batch, coarse_labels: labels(10_000, 19) }));
  await expect(cifar100(root, { splits: ["test"] })).rejects.toMatchObject({ code: "ERR_CORRUPT_FILE" });
});
