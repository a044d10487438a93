// CIFAR's Python version, in files that a few opcodes make as large as the published ones; the pickles themselves are tested in test/files/pickle.test.ts.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cifar10, cifar100 } from "../../lib/datasets";
import { array, byte, dictionary, list, text } from "../files/pickle-writer";
import { temporaryDirectory } from "../files/temporary-directory";

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
