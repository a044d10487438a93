// .npy files against NumPy, both directions: its bytes are read and written exactly, and nothing is read that it refuses.

import { readdirSync, readFileSync } from "node:fs";
import { isLibtorchOodError } from "../../lib/core/errors";
import { NpyWriter, readNpy, type NpyDtype } from "../../lib/formats/npy";
import { formatNpyHeader } from "../../lib/formats/npy-header";
import { libraryFailureOf } from "../models/resnet/tiny-network";
import reference from "../reference/files_npy.json";
import { numpyFile, raw } from "./npy-writer";
import { temporaryDirectory } from "../support/temporary-directory";

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

/** Sound files that are refused on purpose: structured arrays, bytes behind the array, one entry twice, a size beyond 2^53. */
const stricter = ["structured", "bytes behind", "key twice", "zero times huge"];

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
  ["structured", /expected real numbers \(float16 to float64, integers or bool\), found a structured array/],
  ["huge size", /expected a dictionary of 'descr', 'fortran_order' and 'shape' as header/],
  ["size beyond the file", /expected 32 bytes of float32 \[2, 4\] behind the header, found 24/],
  ["no bytes", /expected a \.npy file, found an empty file/],
])("what is wrong with %s, and what fixes it", async (name, message) => {
  const { base64 } = reference.files.find((file) => file.name === name)!;
  const error = await libraryFailureOf(() => readNpy(directory.put("wrong.npy", Buffer.from(base64, "base64"))));
  expect(error.message).toMatch(message);
});

const swapped = (bytes: Uint8Array, width: 2 | 4 | 8): Buffer => Buffer.from(bytes)[`swap${8 * width}` as "swap16"]();

describe("dtypes that are read as the next one that holds them", () => {
  const cases: [string, Uint8Array, NpyDtype, (number | bigint)[]][] = [
    ["<f2", raw(Uint16Array.of(0x3c00, 0xfbff, 0x0001)), "float32", [1, -65504, 2 ** -24]],
    [">f2", swapped(raw(Uint16Array.of(0x3c00, 0xfbff, 0x0001)), 2), "float32", [1, -65504, 2 ** -24]],
    [">f4", swapped(raw(Float32Array.of(1.5, -2, 3)), 4), "float32", [1.5, -2, 3]],
    [">f8", swapped(raw(Float64Array.of(0.1, -2, 1e300)), 8), "float64", [0.1, -2, 1e300]],
    ["=f4", raw(Float32Array.of(1.5, -2, 3)), "float32", [1.5, -2, 3]],
    ["|i1", raw(Int8Array.of(-128, 0, 127)), "int32", [-128, 0, 127]],
    ["<i2", raw(Int16Array.of(-32768, 0, 32767)), "int32", [-32768, 0, 32767]],
    [">i2", swapped(raw(Int16Array.of(-32768, 1, 32767)), 2), "int32", [-32768, 1, 32767]],
    [">i4", swapped(raw(Int32Array.of(-7, 1, 2 ** 31 - 1)), 4), "int32", [-7, 1, 2 ** 31 - 1]],
    [">i8", swapped(raw(BigInt64Array.of(-7n, 1n, 2n ** 62n)), 8), "int64", [-7n, 1n, 2n ** 62n]],
    ["|u1", Uint8Array.of(0, 1, 255), "int32", [0, 1, 255]],
    ["<u2", raw(Uint16Array.of(0, 1, 65535)), "int32", [0, 1, 65535]],
    ["<u4", raw(Uint32Array.of(0, 1, 2 ** 32 - 1)), "int64", [0n, 1n, 2n ** 32n - 1n]],
    ["<u8", raw(BigUint64Array.of(0n, 1n, 2n ** 63n - 1n)), "int64", [0n, 1n, 2n ** 63n - 1n]],
    ["|b1", Uint8Array.of(0, 1, 1), "int32", [0, 1, 1]],
    ["?", Uint8Array.of(0, 1, 2), "int32", [0, 1, 1]],
  ];
  test.each(cases)("%s", async (descr, data, dtype, values) => {
    const found = await readNpy(directory.put("element.npy", numpyFile(`'${descr}'`, "(3,)", data)));
    expect([found.dtype, found.shape, [...found.data]]).toEqual([dtype, [3], values]);
  });

  test("a uint64 that no int64 holds", async () => {
    const path = directory.put("large.npy", numpyFile("'<u8'", "(2,)", raw(BigUint64Array.of(1n, 2n ** 63n))));
    await expect(readNpy(path)).rejects.toMatchObject({ code: "ERR_RANGE", message: expect.stringMatching(/element 1$/) });
  });

  test.each(["<c8", "<f16", "|S3", "<U4", "<M8[ns]", "|O", "|V8", "<i3", "<f1", "u", ""])("%j: refused", async (descr) => {
    const error = await libraryFailureOf(() => readNpy(directory.put("other.npy", numpyFile(`'${descr}'`, "(0,)", new Uint8Array(0)))));
    expect(error.message).toContain("expected real numbers (float16 to float64, integers or bool), found ");
  });

  test("a list as shape: said so", async () => {
    const error = await libraryFailureOf(() => readNpy(directory.put("list.npy", numpyFile("'<f4'", "[1, 2]", new Uint8Array(8)))));
    expect(error.message).toContain("expected a tuple as shape in the header, found a list");
  });

  test("another kind of file: said which", async () => {
    const zip = Buffer.concat([Buffer.from("PK\x03\x04"), Buffer.alloc(22), Buffer.from([5, 0, 0, 0]), Buffer.from("a.npy")]);
    const error = await libraryFailureOf(() => readNpy(directory.put("archive.npy", zip)));
    expect(error.message).toContain("found a NumPy archive (.npz): save the one array that is wanted with numpy.save");
  });
});

describe("Fortran order", () => {
  /** Element [i, j, k, …] is its place in C order. */
  function columnsFirst(shape: readonly number[]): Float32Array {
    const length = shape.reduce((a, b) => a * b, 1);
    const values = new Float32Array(length);
    const at = shape.map(() => 0);
    for (let place = 0; place < length; place++) {
      let [offset, stride] = [0, 1];
      at.forEach((index, k) => {
        offset += index * stride;
        stride *= shape[k] as number;
      });
      values[offset] = place;
      for (let k = at.length - 1; k >= 0 && ++at[k]! === shape[k]; k--) at[k] = 0;
    }
    return values;
  }

  test.each([
    [[2, 3]],
    [[3, 2]],
    [[300, 70]],
    [[70, 300]],
    [[5, 1]],
    [[1, 5]],
    [[4]],
    [[]],
    [[0, 3]],
    [[2, 3, 4]],
    [[3, 1, 5, 2]],
    [[2, 1100, 1000]],
  ])("%j comes in C order", async (shape) => {
    const text = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
    const found = await readNpy(directory.put("fortran.npy", numpyFile("'<f4'", text, raw(columnsFirst(shape)), true)));
    expect(found.shape).toEqual(shape);
    expect(found.data.findIndex((value, i) => value !== i)).toBe(-1);
  });
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

  test("a commit waits for no write: it is refused, and takes everything afterwards", async () => {
    const path = directory.path("early.npy");
    const writer = await NpyWriter.open(path, "float32", [1]);
    const write = writer.write(new Float32Array(1_000_000).fill(7));
    expect((await libraryFailureOf(() => writer.commit())).code).toBe("ERR_BUSY");
    await write;
    await writer.commit();
    expect((await readNpy(path)).shape).toEqual([1_000_000, 1]);
    expect((await libraryFailureOf(() => writer.commit())).code).toBe("ERR_DISPOSED");
    expect((await libraryFailureOf(() => writer.write(new Float32Array(1)))).code).toBe("ERR_DISPOSED");
  });

  test("an array whose memory goes before or while it is written ends the file", async () => {
    const path = directory.put("gone.npy", "old");
    const gone = new Float32Array(4);
    structuredClone(gone.buffer, { transfer: [gone.buffer] });
    const writer = await NpyWriter.open(path, "float32", [1]);
    await writer.write(gone); // no rows
    const large = new Float32Array(30_000_000);
    const write = libraryFailureOf(() => writer.write(large));
    structuredClone(large.buffer, { transfer: [large.buffer] });
    expect((await write).code).toBe("ERR_SHAPE");
    expect((await libraryFailureOf(() => writer.commit())).code).toBe("ERR_SHAPE");
    expect(readFileSync(path, "utf8")).toBe("old");
  });

  // prettier-ignore
  test.each<[string, unknown]>([["text", "12"], ["null", null], ["an object", { length: 1, 0: 2 }], ["a hole", Array(1)], ["64 sizes", Array(64).fill(1)], ["a symbol", [Symbol("x")]]])(
    "rows of %s are refused",
    async (_, rowShape) => {
      const error = await libraryFailureOf(() => NpyWriter.open(directory.path("rows.npy"), "float32", rowShape as number[]));
      expect(error.code).toBe("ERR_SHAPE");
    },
  );

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
