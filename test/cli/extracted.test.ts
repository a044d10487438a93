// Features, labels and class names as other programs write them: read where every value stays what it is, else refused with what to do.

import { mkdirSync, truncateSync } from "node:fs";
import { readExtracted, readLabels } from "../../lib/cli/extracted";
import { readClassNames } from "../../lib/formats/class-list";
import { readPaths } from "../../lib/formats/path-list";
import { readConfiguration } from "../../lib/experiment/configuration";
import { serializeSafetensors, type SafetensorsDtype } from "../../lib/formats/safetensors";
import type { Tensor } from "../../lib/native/tensor";
import { numpyFile, raw } from "../formats/npy-writer";
import { temporaryDirectory } from "../support/temporary-directory";

const directory = temporaryDirectory();
const values = (tensor: unknown): (number | bigint)[] => Array.from((tensor as Tensor).toArray() as Iterable<number | bigint>);
const tensors = (...inputs: [name: string, dtype: SafetensorsDtype, shape: number[], data: Uint8Array][]): string =>
  directory.put("some.safetensors", serializeSafetensors(inputs.map(([name, dtype, shape, data]) => ({ name, dtype, shape, data }))));

describe(".npy", () => {
  test.each([
    ["'<f2'", raw(Uint16Array.of(0x3c00, 0xc000)), "float32", [1, -2]],
    ["'|u1'", Uint8Array.of(1, 255), "float64", [1, 255]],
    ["'<i8'", raw(BigInt64Array.of(-3n, 2n ** 60n)), "float64", [-3, 2 ** 60]],
  ])("features of %s", async (descr, data, dtype, expected) => {
    const features = (await readExtracted(directory.put("f.npy", numpyFile(descr, "(1, 2)", data)))).features as Tensor;
    expect([features.dtype, features.shape, values(features)]).toEqual([dtype, [1, 2], expected]);
  });

  test("features that float64 does not hold", async () => {
    const path = directory.put("f.npy", numpyFile("'<i8'", "(1, 2)", raw(BigInt64Array.of(1n, 2n ** 53n + 1n))));
    await expect(readExtracted(path)).rejects.toMatchObject({
      code: "ERR_RANGE",
      message: expect.stringContaining("found 9007199254740993"),
    });
  });

  test.each([
    ["'|u1'", Uint8Array.of(0, 9), "int32", [0, 9]],
    ["'<i2'", raw(Int16Array.of(0, 300)), "int32", [0, 300]],
    ["'<u4'", raw(Uint32Array.of(1, 2 ** 32 - 1)), "int64", [1n, 2n ** 32n - 1n]],
    ["'|b1'", Uint8Array.of(0, 1), "int32", [0, 1]],
  ])("labels of %s", async (descr, data, dtype, expected) => {
    const labels = await readLabels(directory.put("l.npy", numpyFile(descr, "(2,)", data)));
    expect([labels.dtype, values(labels)]).toEqual([dtype, expected]);
  });

  test("labels that are floats: the advice gives what is read", async () => {
    const path = directory.put("l.npy", numpyFile("'<f4'", "(2,)", raw(Float32Array.of(0, 1))));
    await expect(readLabels(path)).rejects.toMatchObject({
      code: "ERR_DTYPE",
      message: `${path}: expected whole numbers (array.astype("int64") gives them), found float32`,
    });
  });
});

describe(".safetensors", () => {
  const two = Float32Array.of(1, 2);
  test.each<[SafetensorsDtype, Uint8Array, (number | bigint)[]]>([
    ["U8", Uint8Array.of(0, 255), [0, 255]],
    ["I16", raw(Int16Array.of(0, 300)), [0, 300]],
    ["U16", raw(Uint16Array.of(0, 65_535)), [0, 65_535]],
    ["U32", raw(Uint32Array.of(0, 2 ** 32 - 1)), [0n, 2n ** 32n - 1n]],
    ["U64", raw(BigUint64Array.of(0n, 7n)), [0n, 7n]],
    ["BOOL", Uint8Array.of(0, 1), [0, 1]],
    ["I32", raw(Int32Array.of(0, 1)), [0, 1]],
    ["I64", raw(BigInt64Array.of(0n, 1n)), [0n, 1n]],
  ])("labels of %s", async (dtype, data, expected) => {
    const { labels } = await readExtracted(tensors(["features", "F32", [2, 1], raw(two)], ["labels", dtype, [2], data]));
    expect(values(labels)).toEqual(expected);
  });

  test.each<[SafetensorsDtype, Uint8Array, number[]]>([
    ["I32", raw(Int32Array.of(-1, 2)), [-1, 2]],
    ["U8", Uint8Array.of(1, 255), [1, 255]],
    ["I64", raw(BigInt64Array.of(-1n, 5n)), [-1, 5]],
    ["F16", raw(Uint16Array.of(0x3c00, 0xc000)), [1, -2]],
  ])("features of %s, beside tensors of other dtypes", async (dtype, data, expected) => {
    const { features } = await readExtracted(tensors(["features", dtype, [2, 1], data], ["else", "F8_E4M3", [3], new Uint8Array(3)]));
    expect(values(features)).toEqual(expected);
  });

  test("what is refused: labels that are floats, numbers that are not read, other names", async () => {
    const labels = tensors(["features", "F32", [2, 1], raw(two)], ["labels", "F32", [2], raw(two)]);
    await expect(readExtracted(labels)).rejects.toThrow(
      `${labels}: labels: expected whole numbers (array.astype("int64") gives them), found F32`,
    );
    const complex = tensors(["features", "C64", [1, 1], new Uint8Array(8)]);
    await expect(readExtracted(complex)).rejects.toThrow(`${complex}: features: expected real numbers of 16 bits or more, found C64`);
    const other = tensors(["embeddings", "F32", [2, 1], raw(two)], ["labels", "I64", [2], new Uint8Array(16)]);
    await expect(readExtracted(other)).rejects.toMatchObject({
      code: "ERR_OPTION",
      message: `${other}: expected a tensor "features" (or rawFeatures, logits), found "embeddings" F32 [2, 1], "labels" I64 [2]`,
    });
  });
});

test("rows without columns, of which a file of 100 bytes may state 2^52", async () => {
  const header = "{'descr': '<f4', 'fortran_order': False, 'shape': (4503599627370496, 0), }\n";
  const path = directory.put("rows.npy", Buffer.from(`\x93NUMPY\x01\x00${String.fromCharCode(header.length)}\x00${header}`, "latin1"));
  await expect(readExtracted(path)).rejects.toMatchObject({
    code: "ERR_SHAPE",
    message: `${path}: expected a matrix [N, columns], found [4503599627370496, 0]`,
  });
});

test("a folder without features: what is there instead", async () => {
  mkdirSync(directory.path("folder"));
  await expect(readExtracted(directory.path("folder"))).rejects.toThrow(/expected features\.npy \(or rawFeatures, logits\), found none$/);
  directory.put("folder/embeddings.npy", "");
  await expect(readExtracted(directory.path("folder"))).rejects.toThrow(/found embeddings\.npy$/);
});

describe("lists of class names", () => {
  test("with a byte order mark, with the line ends of Windows", async () => {
    expect(await readClassNames(directory.put("names.txt", "\ufeffKatze\r\ndog\n\n"))).toEqual(["Katze", "dog"]);
  });

  test("one name twice, bytes that are no UTF-8", async () => {
    const twice = directory.put("names.txt", "a\nb\na\n");
    await expect(readClassNames(twice)).rejects.toThrow(`${twice}: expected different class names, found "a" twice`);
    const latin = directory.put("names.txt", Buffer.from("Z\xfcrich\n", "latin1"));
    await expect(readClassNames(latin)).rejects.toMatchObject({ code: "ERR_CORRUPT_FILE", message: expect.stringContaining("in UTF-8") });
    await expect(readClassNames(directory.put("names.txt", "\n\r\n"))).rejects.toThrow(
      /expected names of classes, one a line, found none$/,
    );
  });
});

test("text in UTF-16, with its mark and without", async () => {
  const marked = directory.put("marked.txt", Buffer.from("\ufeffa.png\nb.png\n", "utf16le"));
  await expect(readClassNames(marked)).rejects.toThrow(`${marked}: expected a list of class names in UTF-8, found text in UTF-16`);
  await expect(readPaths(marked, undefined)).rejects.toThrow(`${marked}: expected paths, one a line, found text in UTF-16`);
  const bare = directory.put("bare.txt", Buffer.from("a\nb\n", "utf16le"));
  await expect(readClassNames(bare)).rejects.toThrow(/in UTF-8, found a NUL character at 1$/);
});

test("a list of paths that is nothing but NUL characters, however long", async () => {
  const list = directory.put("nothing.txt", "");
  for (const size of [3, 2 ** 24, 2 ** 31]) {
    truncateSync(list, size); // sparse
    await expect(readPaths(list, undefined)).rejects.toMatchObject({ code: "ERR_CORRUPT_FILE", message: expect.stringContaining(list) });
  }
});

test("a byte order mark before a list of images and before a configuration", async () => {
  expect(await readPaths(directory.put("images.txt", "\ufeffa.png\nb.png\n"), undefined)).toEqual(["a.png", "b.png"]);
  const path = directory.put("configuration.json", '\ufeff{"cells": 3}');
  await expect(readConfiguration(path)).rejects.toMatchObject({ code: "ERR_OPTION" }); // read as JSON, and judged
});
