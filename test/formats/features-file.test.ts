// openFeatures: every form of files gives the same rows in pieces of any size, memory stays that of a piece, and what is not one set of rows is refused.

import { mkdirSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { openFeatures, type FeaturesFile } from "../../lib/formats/features-file";
import { serializeSafetensors, writeSafetensors, type SafetensorsDtype } from "../../lib/formats/safetensors";
import { NpyWriter } from "../../lib/formats/npy";
import { libraryFailureOf } from "../models/resnet/tiny-network";
import reference from "../reference/files_half.json";
import { temporaryDirectory } from "../support/temporary-directory";
import { numpyFile, raw } from "./npy-writer";

const directory = temporaryDirectory();
const [rows, columns, classes] = [23, 3, 2];
const features = Float32Array.from({ length: rows * columns }, (_, i) => i / 4 - 8);
const logits = Float32Array.from({ length: rows * classes }, (_, i) => -i);
const labels = BigInt64Array.from({ length: rows }, (_, i) => BigInt(i % 5));

/** All pieces, put together again. */
async function gathered(file: FeaturesFile, options?: Parameters<FeaturesFile["pieces"]>[0]) {
  const found = { offsets: [] as number[], features: [] as number[], logits: [] as number[], labels: [] as number[] };
  for await (const piece of file.pieces(options)) {
    found.offsets.push(piece.offset);
    found.features.push(...(piece.features?.data ?? []));
    found.logits.push(...(piece.logits?.data ?? []));
    found.labels.push(...Array.from(piece.labels ?? [], Number));
    for (const [matrix, width] of [
      [piece.features, columns],
      [piece.logits, classes],
    ] as const) {
      if (matrix !== undefined) expect(matrix.shape).toEqual([piece.count, width]);
    }
  }
  return found;
}

async function folder(name: string): Promise<string> {
  mkdirSync(directory.path(name));
  const write = async (array: string, dtype: "float32" | "int64", rowShape: number[], values: Float32Array | BigInt64Array) => {
    const writer = await NpyWriter.open(directory.path(`${name}/${array}.npy`), dtype, rowShape);
    await writer.write(values as never);
    await writer.commit();
  };
  await write("features", "float32", [columns], features);
  await write("logits", "float32", [classes], logits);
  await write("labels", "int64", [], labels);
  return directory.path(name);
}

async function tensors(name: string): Promise<string> {
  const path = directory.path(name);
  await writeSafetensors(path, [
    { name: "logits", dtype: "F32", shape: [rows, classes], data: logits },
    { name: "features", dtype: "F32", shape: [rows, columns], data: features },
    { name: "labels", dtype: "I64", shape: [rows], data: labels },
  ]);
  return path;
}

describe.each([
  ["a folder", folder],
  ["a .safetensors file", tensors],
])("%s", (kind, make) => {
  test.each([1, 7, 23, 1000, undefined])("pieces of %p rows", async (step) => {
    const file = await openFeatures(await make(`${kind.slice(2).replace(/\W/g, "-")}-${step}`));
    expect(file.length).toBe(rows);
    expect([...file.arrays.keys()]).toEqual(["features", "logits", "labels"]);
    expect(file.arrays.get("features")).toEqual({ dtype: "float32", shape: [rows, columns] });
    const found = await gathered(file, step === undefined ? undefined : { rows: step });
    expect(found).toEqual({
      offsets: Array.from({ length: Math.ceil(rows / (step ?? rows)) }, (_, i) => i * (step ?? rows)),
      features: Array.from(features),
      logits: Array.from(logits),
      labels: Array.from(labels, Number),
    });
    expect((await gathered(file, { arrays: ["labels"], rows: 10 })).features).toEqual([]);
    await file.close();
  });
});

test("NumPy's float16 file in Fortran order, safetensors' of F16, BF16 and U8, in pieces", async () => {
  const put = (name: string, base64: string) => directory.put(name, Buffer.from(base64, "base64"));
  const fortran = await openFeatures(put("fortran.npy", reference.npy["float16 in Fortran order"]));
  expect(fortran.arrays.get("features")).toEqual({ dtype: "float16", shape: [5, 3] });
  expect((await gathered(fortran, { rows: 2 })).features).toEqual(reference.matrix);
  const half = await openFeatures(put("half.safetensors", reference.tensors));
  for await (const { offset, features, logits, labels } of half.pieces({ rows: 2 })) {
    const end = Math.min(5, offset + 2);
    expect(Array.from(features!.data)).toEqual(reference.matrix.slice(3 * offset, 3 * end));
    expect(Array.from(logits!.data)).toEqual(reference.logits.slice(3 * offset, 3 * end));
    expect(Array.from(labels!, Number)).toEqual([0, 1, 255, 2, 1].slice(offset, end));
  }
  await Promise.all([fortran.close(), half.close()]);
});

test("big-endian numbers, labels of every integer dtype, features that are integers", async () => {
  const big = directory.put("big.npy", numpyFile("'>f4'", "(2, 1)", Buffer.from(raw(Float32Array.of(1.5, -2))).swap32()));
  const file = await openFeatures(big);
  expect((await file.pieces().next()).value).toMatchObject({ features: { data: Float32Array.of(1.5, -2), shape: [2, 1] } });
  await file.close();
  for (const [dtype, data] of [
    ["U8", Uint8Array.of(7, 255)],
    ["I8", Int8Array.of(7, 127)],
    ["U16", Uint16Array.of(7, 65_535)],
    ["I16", Int16Array.of(7, 300)],
    ["U32", Uint32Array.of(7, 2 ** 32 - 1)],
    ["I64", BigInt64Array.of(7n, 8n)],
  ] as const satisfies readonly (readonly [SafetensorsDtype, ArrayBufferView])[]) {
    const path = directory.put(
      "integers.safetensors",
      serializeSafetensors([
        { name: "features", dtype, shape: [2, 1], data },
        { name: "labels", dtype, shape: [2], data },
      ]),
    );
    const file = await openFeatures(path);
    const found: number[] = [];
    for await (const { features, labels } of file.pieces({ rows: 1 })) found.push(features!.data[0] as number, Number(labels![0]));
    expect(found).toEqual(Array.from<number | bigint, number>(data, Number).flatMap((number) => [number, number]));
    await file.close();
  }
});

test("memory is that of a piece, and the event loop turns", async () => {
  const path = directory.path("large.npy");
  writeFileSync(path, numpyFile("'<f2'", "(131072, 1024)", new Uint8Array(0)));
  truncateSync(path, statSync(path).size + 2 ** 28); // 256 MiB of zeros that take no place on the disk; 512 MiB as float32
  const file = await openFeatures(path);
  const before = process.memoryUsage().arrayBuffers;
  let [peak, seen, turns] = [0, 0, 0];
  const timer = setInterval(() => turns++, 1);
  for await (const { count } of file.pieces({ rows: 4096 })) {
    seen += count;
    globalThis.gc?.();
    peak = Math.max(peak, process.memoryUsage().arrayBuffers - before);
  }
  clearInterval(timer);
  await file.close();
  expect(seen).toBe(128 * 1024);
  expect(turns).toBeGreaterThan(10);
  expect(peak).toBeLessThan(160 * 2 ** 20);
}, 60_000);

describe("what is refused", () => {
  test("options that are wrong, arrays that are not there, a file that was closed", async () => {
    const file = await openFeatures(await folder("options"));
    const first = (options: unknown) => libraryFailureOf(() => file.pieces(options as never).next());
    expect((await first({ rows: 0 })).code).toBe("ERR_RANGE");
    expect((await first({ row: 1 })).code).toBe("ERR_OPTION");
    expect((await first({ arrays: [] })).code).toBe("ERR_OPTION");
    expect((await first({ arrays: ["weight"] })).message).toContain("arrays[0]: expected one of features, rawFeatures, logits, labels");
    expect((await first({ arrays: ["rawFeatures"] })).message).toContain("expected rawFeatures, found features, logits, labels");
    expect((await first({ signal: AbortSignal.abort() })).code).toBe("ERR_ABORTED");
    const pieces = file.pieces({ rows: 1 });
    await pieces.next();
    await file.close();
    expect((await libraryFailureOf(() => pieces.next())).code).toBe("ERR_DISPOSED");
    await file.close();
    expect((await libraryFailureOf(() => openFeatures(7 as never))).code).toBe("ERR_OPTION");
    expect((await libraryFailureOf(() => openFeatures(directory.path("nothing")))).code).toBe("ERR_IO");
  });

  test("arrays of different lengths", async () => {
    const path = await folder("lengths");
    const writer = await NpyWriter.open(directory.path("lengths/labels.npy"), "int64", []);
    await writer.write(labels.subarray(1));
    await writer.commit();
    const error = await libraryFailureOf(() => openFeatures(path));
    expect([error.code, error.message]).toEqual(["ERR_SHAPE", expect.stringContaining("features of 23, logits of 23, labels of 22 rows")]);
  });

  test("an index whose shards are not what it says", async () => {
    const path = directory.path("shards.safetensors.index.json");
    const shard = (file: unknown, count: number) => ({
      file,
      count,
      arrays: { features: { bytes: count * columns * 4, sha256: "0".repeat(64) } },
    });
    const index = (...shards: object[]) =>
      writeFileSync(path, JSON.stringify({ format: "libtorch-ood extraction", version: 1, count: 23, shards, lists: {} }));
    const opened = () => libraryFailureOf(() => openFeatures(path));
    await tensors("shard.safetensors");
    for (const name of ["../shard.safetensors", "a/b", "", 7]) {
      index(shard(name, rows));
      expect((await opened()).message).toContain("to be the name of a file");
    }
    index(shard("shard.safetensors", 22));
    expect((await opened()).code).toBe("ERR_CORRUPT_FILE");
    index(shard("missing.safetensors", rows));
    expect((await opened()).code).toBe("ERR_IO");
    index(shard("shard.safetensors", rows));
    const file = await openFeatures(path);
    const error = await libraryFailureOf(() => gathered(file));
    expect(error.message).toContain("expected what the run of extraction.json wrote, found other values");
    await file.close();
  });
});
