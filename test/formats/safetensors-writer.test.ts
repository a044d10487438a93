// The writer of .safetensors files: tensors whose bytes come in any order.

import { readdirSync } from "node:fs";
import { readSafetensors, toValues } from "../../lib/formats/safetensors";
import { SafetensorsWriter, type SafetensorsPlan } from "../../lib/formats/safetensors-writer";
import { libraryFailureOf } from "../models/resnet/tiny-network";
import { temporaryDirectory } from "../support/temporary-directory";

const directory = temporaryDirectory();
const plan = (rows: number, note: string): SafetensorsPlan => ({
  tensors: [
    { name: "a", dtype: "F32", shape: [rows, 2] },
    { name: "b", dtype: "I32", shape: [rows] },
    { name: "c", dtype: "U8", shape: [rows] },
  ],
  metadata: new Map([["note", note]]),
});
const bytes = (array: Float32Array | Int32Array): Uint8Array => new Uint8Array(array.buffer);

test("bytes of several tensors in turns", async () => {
  const path = directory.path("turns.safetensors");
  const writer = await SafetensorsWriter.open(path, plan(2, "at once"));
  for (const row of [1, 2]) {
    await writer.append("c", Uint8Array.of(row));
    await writer.append("b", bytes(Int32Array.of(10 * row)));
    await writer.append("a", bytes(Float32Array.of(row, -row)));
  }
  writer.finish();
  await writer.commit();
  const { tensors, metadata } = await readSafetensors(path);
  const values = [...tensors].map(([name, { dtype, shape, data }]) => [name, shape, [...toValues(dtype, data)]]);
  expect(values).toEqual([
    ["a", [2, 2], [1, -1, 2, -2]],
    ["b", [2], [10, 20]],
    ["c", [2], [1, 2]],
  ]);
  expect(metadata.get("note")).toBe("at once");
});

test("bytes beyond the plan, and a tensor left short, are refused; nothing stays behind", async () => {
  const writer = await SafetensorsWriter.open(directory.path("misfit.safetensors"), plan(1, ""));
  expect((await libraryFailureOf(() => writer.append("b", new Uint8Array(5)))).message).toContain(
    'misfit.safetensors: data of "b": expected 4 bytes at most, found 5',
  );
  await writer.append("a", new Uint8Array(8));
  const short = await libraryFailureOf(() => Promise.resolve().then(() => writer.finish()));
  expect([short.code, short.message]).toEqual(["ERR_SHAPE", expect.stringContaining('data of "b": expected 4 bytes, found 0')]);
  await writer.discard();
  expect(readdirSync(directory.path(".")).filter((name) => name.includes("misfit"))).toEqual([]);
});
