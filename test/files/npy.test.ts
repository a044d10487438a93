// .npy files against NumPy, both directions: its bytes are read and written exactly, and nothing is read that it refuses.

import { readdirSync, readFileSync } from "node:fs";
import { isLibtorchOodError } from "../../lib/errors";
import { NpyWriter, readNpy, type NpyDtype } from "../../lib/files/npy";
import { formatNpyHeader } from "../../lib/files/npy-header";
import { libraryFailureOf } from "../resnet/tiny-network";
import reference from "../reference/files_npy.json";
import { temporaryDirectory } from "./temporary-directory";

const directory = temporaryDirectory();
const arrays = reference.arrays as { dtype: NpyDtype; shape: number[]; base64: string; values?: string[] }[];
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** A value as Python prints it. */
const parsed = (text: string, dtype: NpyDtype): number | bigint =>
  dtype === "int64" ? BigInt(text) : text.endsWith("inf") ? Number(`${text.slice(0, -3)}Infinity`) : Number(text);

test.each(arrays.map((array, i) => [`${array.dtype} [${array.shape.join(", ")}]`, i] as const))("%s (%i) from NumPy", async (_, i) => {
  const { dtype, shape, base64, values } = arrays[i]!;
  const found = await readNpy(directory.put(`${i}.npy`, Buffer.from(base64, "base64")));
  expect([found.dtype, found.shape]).toEqual([dtype, shape]);
  if (values === undefined) expect(found.data).toHaveLength(shape.reduce((a, b) => a * b, 1));
  else expect([...found.data]).toEqual(values.map((text) => parsed(text, dtype)));
});

test("NumPy's bytes of every array with rows, however they are cut into pieces", async () => {
  for (const [i, { dtype, shape, base64 }] of arrays.entries()) {
    const [rows, ...rowShape] = shape;
    if (rows === undefined) continue;
    const numpy = Buffer.from(base64, "base64");
    const { data } = await readNpy(directory.put(`source-${i}.npy`, numpy));
    const rowLength = rowShape.reduce((a, b) => a * b, 1);
    const path = directory.path(`written-${i}.npy`);
    const writer = await NpyWriter.open(path, dtype, rowShape);
    for (let row = 0; row < rows; row += 50) await writer.write(data.subarray(row * rowLength, (row + 50) * rowLength) as never);
    expect(writer.rows).toBe(rows);
    await writer.commit();
    expect(hex(readFileSync(path))).toBe(hex(numpy));
  }
});

test("NumPy's header of any number of rows, always of one length", () => {
  for (const { shape, header } of reference.headers) expect(Buffer.from(formatNpyHeader("float32", shape)).toString("latin1")).toBe(header);
});

/**
 * Sound files that are refused on purpose: other dtypes and orders than are read here, bytes behind the array, one entry twice, a size
 * beyond 2^53. */
const stricter = ["structured", "big endian", "half", "unsigned", "fortran order", "bytes behind", "key twice", "zero times huge"];

test("nothing is accepted that NumPy refuses, and nothing else refused", async () => {
  const verdicts: Record<string, boolean> = {};
  for (const [i, { name, base64 }] of reference.files.entries()) {
    const path = directory.put(`file-${i}.npy`, Buffer.from(base64, "base64"));
    try {
      await readNpy(path);
      verdicts[name] = true;
    } catch (error) {
      if (!isLibtorchOodError(error) || error.code !== "ERR_CORRUPT_FILE" || !error.message.startsWith(path)) throw error;
      verdicts[name] = false;
    }
  }
  const tooMuch = reference.files.filter(({ name, accepted }) => verdicts[name] && !accepted);
  const tooLittle = reference.files.filter(({ name, accepted }) => !verdicts[name] && accepted);
  expect(tooMuch).toEqual([]);
  expect(tooLittle.map(({ name }) => name).filter((name) => !stricter.includes(name))).toEqual([]);
});

test.each([
  ["structured", /expected a dtype of <f4, <f8, <i4, <i8, found a structured array/],
  ["big endian", /expected a dtype of .* \(array\.astype\("float32"\) gives one\), found ">f4"/],
  ["fortran order", /C order \(numpy\.ascontiguousarray gives one\), found one of shape \[2, 3\] in Fortran order/],
  ["huge size", /expected a dictionary of 'descr', 'fortran_order' and 'shape' as header/],
  ["size beyond the file", /expected 32 bytes of float32 \[2, 4\] behind the header, found 24/],
  ["no bytes", /expected a \.npy file, found no bytes/],
])("what is wrong with %s, and what mends it", async (name, message) => {
  const { base64 } = reference.files.find((file) => file.name === name)!;
  const error = await libraryFailureOf(() => readNpy(directory.put("wrong.npy", Buffer.from(base64, "base64"))));
  expect(error.message).toMatch(message);
});

describe("writing", () => {
  test("the old file stays until the commit, and for good after a discard; nothing else is left", async () => {
    const path = directory.put("kept.npy", "old");
    const before = readdirSync(directory.path(".")).length;
    const writer = await NpyWriter.open(path, "float32", [2]);
    await writer.write(Float32Array.of(1, 2, 3, 4));
    expect(readFileSync(path, "utf8")).toBe("old");
    await writer.discard();
    await writer.discard();
    expect(readFileSync(path, "utf8")).toBe("old");
    expect(readdirSync(directory.path("."))).toHaveLength(before);
    const second = await NpyWriter.open(path, "float32", [2]);
    await second.write(Float32Array.of(5, 6));
    await second.commit();
    await second.discard();
    expect(await readNpy(path)).toEqual({ dtype: "float32", shape: [1, 2], data: Float32Array.of(5, 6) });
    expect(readdirSync(directory.path("."))).toHaveLength(before);
  });

  test("another kind of array, a part of a row, two writes at once, a folder that is not there", async () => {
    const writer = await NpyWriter.open(directory.path("strict.npy"), "float32", [2]);
    const wrongKind = await libraryFailureOf(() => writer.write(Float64Array.of(1, 2) as never));
    expect([wrongKind.code, wrongKind.message]).toEqual([
      "ERR_DTYPE",
      expect.stringMatching(/expected a Float32Array, found a Float64Array/),
    ]);
    expect((await libraryFailureOf(() => writer.write(new Float32Array(3)))).code).toBe("ERR_SHAPE");
    const first = writer.write(new Float32Array(2));
    expect((await libraryFailureOf(() => writer.write(new Float32Array(2)))).code).toBe("ERR_BUSY");
    await first;
    expect(writer.rows).toBe(1);
    await writer.discard();
    expect((await libraryFailureOf(() => NpyWriter.open(directory.path("no/such.npy"), "float32", [2]))).code).toBe("ERR_IO");
    expect((await libraryFailureOf(() => NpyWriter.open(directory.path("x.npy"), "uint8" as never, []))).code).toBe("ERR_OPTION");
    expect((await libraryFailureOf(() => NpyWriter.open(directory.path("x.npy"), "int32", [0]))).code).toBe("ERR_SHAPE");
  });
});
