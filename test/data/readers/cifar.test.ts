// The CIFAR files are made here, at their real size (sparse where only the size matters): the data sets themselves are not in the repository.

import { closeSync, mkdirSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { cifar10, cifar100, normalizations } from "../../../lib/data";
import { readCifarRecords } from "../../../lib/data/readers/cifar-records";
import { temporaryDirectory } from "../../support/temporary-directory";

const directory = temporaryDirectory();
const names10 = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
const names100 = Array.from({ length: 100 }, (_, i) => `class ${i}`).join("\n");
const record = (labels: number[], red: number, green: number, blue: number): Buffer =>
  Buffer.concat([Buffer.from(labels), Buffer.alloc(1024, red), Buffer.alloc(1024, green), Buffer.alloc(1024, blue)]);

/** A file of `size` zero bytes with these parts written into it. */
function sparse(path: string, size: number, parts: [number, Uint8Array][] = []): void {
  writeFileSync(path, "");
  truncateSync(path, size);
  const file = openSync(path, "r+");
  for (const [position, bytes] of parts) writeSync(file, bytes, 0, bytes.length, position);
  closeSync(file);
}

function cifar10Folder(name: string, inner = ""): string {
  const root = join(directory.path(name), inner);
  mkdirSync(root, { recursive: true });
  writeFileSync(join(root, "batches.meta.txt"), names10);
  for (let batch = 1; batch <= 5; batch++) {
    sparse(join(root, `data_batch_${batch}.bin`), 30_730_000, [[9999 * 3073, record([batch], 10 * batch, 20, 30)]]);
  }
  sparse(join(root, "test_batch.bin"), 30_730_000, [[1024 * 3073, record([9], 1, 2, 3)]]);
  return directory.path(name);
}

test("CIFAR-10: every record at its place, batches in order", async () => {
  const { train, test: held } = await cifar10(cifar10Folder("parent", "cifar-10-batches-bin"));
  expect(train).toMatchObject({ name: "CIFAR-10 train", length: 50_000, shape: [3, 32, 32], normalization: normalizations.cifar10 });
  expect(train.classNames).toEqual(names10.trim().split("\n"));
  expect(train.labels.reduce((a, b) => a + b)).toBe(15);
  for (let batch = 1; batch <= 5; batch++) {
    const index = batch * 10_000 - 1;
    expect(train.labels[index]).toBe(batch);
    expect(Buffer.from(train.image(index)).equals(record([], 10 * batch, 20, 30))).toBe(true);
  }
  expect(held).toMatchObject({ name: "CIFAR-10 test", length: 10_000 });
  expect(held.labels[1024]).toBe(9);
  expect(Buffer.from(held.image(1024)).equals(record([], 1, 2, 3))).toBe(true);
  expect(held.image(1023).some((pixel) => pixel !== 0)).toBe(false);
  rmSync(directory.path("parent"), { recursive: true });
});

describe("CIFAR-10 files that do not fit", () => {
  const root = cifar10Folder("direct");
  const batch = join(root, "test_batch.bin");
  const read = async (): Promise<Error> => (await cifar10(root, { splits: ["test"] }).catch((reason: unknown) => reason)) as Error;

  test("the directory itself serves", async () => {
    expect((await cifar10(root, { splits: ["test"] })).test.length).toBe(10_000);
  });

  test.each([30_729_999, 30_730_001, 30_726_927, 0])("%d bytes", async (size) => {
    truncateSync(batch, size);
    const error = await read();
    truncateSync(batch, 0);
    truncateSync(batch, 30_730_000);
    expect(error).toMatchObject({ code: "ERR_CORRUPT_FILE" });
    expect(error.message).toContain(
      `${batch}: expected 10000 records of 3073 bytes (30730000 bytes, the binary version), found ${size} bytes`,
    );
  });

  test("a label that is no class", async () => {
    sparse(batch, 30_730_000, [[2048 * 3073, Uint8Array.of(10)]]);
    const error = await read();
    expect(error).toMatchObject({ code: "ERR_CORRUPT_FILE" });
    expect(error.message).toBe(`${batch}: expected a label from 0 to 9, found 10 in record 2048`);
    sparse(batch, 30_730_000);
  });

  test.each([
    ["a\nb\n", "expected 10 class names, one a line, found 2"],
    [names10.replace("truck", "ship"), 'expected 10 different class names, found "ship" twice'],
    ["x".repeat(70_000), "expected a list of 10 class names of at most 65536 bytes, found 70000 bytes"],
  ])("names that are not ten (%#)", async (names, message) => {
    writeFileSync(join(root, "batches.meta.txt"), names);
    const error = await read();
    writeFileSync(join(root, "batches.meta.txt"), names10);
    expect(error).toMatchObject({ code: "ERR_CORRUPT_FILE" });
    expect(error.message).toContain(`${join(root, "batches.meta.txt")}: ${message}`);
  });

  test("a batch that is missing, a directory that holds something else: ERR_IO", async () => {
    rmSync(join(root, "data_batch_4.bin"));
    await expect(cifar10(root)).rejects.toMatchObject({ code: "ERR_IO", message: expect.stringContaining("data_batch_4.bin") as string });
    await expect(cifar10(directory.path("."))).rejects.toMatchObject({
      code: "ERR_IO",
      message: expect.stringContaining(
        "cannot find the class names of CIFAR-10 (binary or Python version): none of batches.meta.txt, batches.meta in",
      ) as string,
    });
    await expect(cifar10(root, { prefix: "x" } as never)).rejects.toMatchObject({ code: "ERR_OPTION" });
  });
});

describe("CIFAR-100", () => {
  const root = directory.path("cifar-100-binary");
  mkdirSync(root);
  writeFileSync(join(root, "fine_label_names.txt"), names100);

  test("fine labels, in the directory or its parent", async () => {
    sparse(join(root, "train.bin"), 50_000 * 3074, [[49_999 * 3074, record([19, 99], 4, 5, 6)]]);
    sparse(join(root, "test.bin"), 10_000 * 3074, [[0, record([3, 1], 1, 2, 3)]]);
    const { train, test: held } = await cifar100(directory.path("."));
    expect(train).toMatchObject({ name: "CIFAR-100 train", length: 50_000, shape: [3, 32, 32] });
    expect(train.classNames[99]).toBe("class 99");
    expect([train.labels[49_999], held.labels[0], held.labels[1]]).toEqual([99, 1, 0]);
    expect(Buffer.from(train.image(49_999)).equals(record([], 4, 5, 6))).toBe(true);
    expect((await cifar100(root, { splits: ["test"] })).test.length).toBe(10_000);
  });

  test("labels that contradict each other or are no classes", async () => {
    const path = join(root, "test.bin");
    const message = async (...labels: [number, number]): Promise<string> => {
      sparse(path, 10_000 * 3074, [[7 * 3074, Uint8Array.from(labels)]]);
      const error = (await cifar100(root, { splits: ["test"] }).catch((reason: unknown) => reason)) as Error;
      expect(error).toMatchObject({ code: "ERR_CORRUPT_FILE" });
      return error.message;
    };
    expect(await message(5, 0)).toBe(`${path}: expected fine label 0 with coarse label 0 as before, found 5 in record 7`);
    expect(await message(20, 1)).toBe(`${path}: expected a coarse label from 0 to 19, found 20 in record 7`);
    expect(await message(1, 100)).toBe(`${path}: expected a fine label from 0 to 99, found 100 in record 7`);
  });

  test("CIFAR-10's records are not CIFAR-100's", async () => {
    sparse(join(root, "test.bin"), 10_000 * 3073);
    await expect(cifar100(root, { splits: ["test"] })).rejects.toMatchObject({
      code: "ERR_CORRUPT_FILE",
      message: expect.stringContaining("10000 records of 3074 bytes") as string,
    });
  });
});

test("records of random bytes come back as they were, across files and reads", async () => {
  const records = Array.from({ length: 6 }, (_, i) =>
    Buffer.concat([Buffer.from([i]), Buffer.from(Array.from({ length: 3072 }, (_, p) => (p * 31 + i * 7) % 256))]),
  );
  const paths = [directory.put("one", Buffer.concat(records.slice(0, 3))), directory.put("two", Buffer.concat(records.slice(3)))];
  const { images, labels } = await readCifarRecords(paths, 3, [{ name: "label", classes: 6 }]);
  expect(Array.from(labels[0] as Int32Array)).toEqual([0, 1, 2, 3, 4, 5]);
  expect(Buffer.from(images).equals(Buffer.concat(records.map((bytes) => bytes.subarray(1))))).toBe(true);
});
