import { readFileSync } from "node:fs";
import { constants, deflateSync, gunzipSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { readIdx } from "../../lib/formats/idx";
import { countTurns } from "../support/event-loop";
import { temporaryDirectory } from "../support/temporary-directory";

const directory = temporaryDirectory();

function idx(shape: number[], data: Uint8Array, magic = [0, 0, 8, shape.length]): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.set(magic);
  shape.forEach((size, i) => header.writeUInt32BE(size, 4 + 4 * i));
  return Buffer.concat([header, data]);
}

test("round trip of any shape and content, plain and gzip, whatever the name", async () => {
  const content = fc.array(fc.nat({ max: 6 }), { minLength: 1, maxLength: 4 }).chain((shape) => {
    const length = shape.reduce((a, b) => a * b, 1);
    return fc.record({ shape: fc.constant(shape), data: fc.uint8Array({ minLength: length, maxLength: length }), gzip: fc.boolean() });
  });
  await fc.assert(
    fc.asyncProperty(content, async ({ shape, data, gzip }) => {
      const path = directory.put(gzip ? "without-suffix" : "plain.gz", gzip ? gzipSync(idx(shape, data)) : idx(shape, data));
      const read = await readIdx(path, shape.length);
      expect(read.shape).toEqual(shape);
      expect(Buffer.from(read.data).equals(Buffer.from(data))).toBe(true);
    }),
    { numRuns: 150, seed: 5 },
  );
});

test("a file of many chunks, and a gzip file of two members", async () => {
  const data = new Uint8Array(3_000_000).map((_, i) => (i * 2654435761) >>> 24);
  const file = idx([3_000_000], data);
  for (const content of [file, gzipSync(file), Buffer.concat([gzipSync(file.subarray(0, 7)), gzipSync(file.subarray(7))])]) {
    const read = await readIdx(directory.put("large", content), 1);
    expect(Buffer.from(read.data).equals(Buffer.from(data))).toBe(true);
  }
});

const labels = idx([4], Uint8Array.of(1, 2, 3, 4));
const whole = gzipSync(
  idx(
    [2000],
    new Uint8Array(2000).map((_, i) => (i * 2654435761) >>> 24),
  ),
);

test.each<[string, Uint8Array, string]>([
  ["an empty file", new Uint8Array(0), "expected a header of 8 bytes, found 0"],
  ["half a header", labels.subarray(0, 6), "expected a header of 8 bytes, found 6"],
  ["only a header", labels.subarray(0, 8), "expected 12 bytes by its header, found 8"],
  ["a byte less", labels.subarray(0, 11), "expected 12 bytes by its header, found 11"],
  ["a byte more", Buffer.concat([labels, Buffer.alloc(1)]), "expected 12 bytes by its header, found more"],
  ["a PNG file", Buffer.from("89504e470d0a1a0a0000000d", "hex"), "an IDX file (first bytes 00 00 08), found a PNG image"],
  ["a type code of none", idx([4], new Uint8Array(4), [0, 0, 7, 1]), "first bytes 00 00 07 01"],
  ["floats", idx([4], new Uint8Array(16), [0, 0, 13, 1]), "expected an IDX file of unsigned bytes, found one of float32"],
  ["images where labels should be", idx([1, 2, 2], new Uint8Array(4)), "1 dimension (labels), found 3 dimensions (images)"],
  ["dimensions beyond the file", idx([2 ** 32 - 1], new Uint8Array(4)), "expected 4294967303 bytes by its header, found 12"],
  ["a gzip file cut off", whole.subarray(0, whole.length - 30), "expected a whole gzip stream, found unexpected end of file"],
  ["a gzip file without its end", whole.subarray(0, whole.length - 4), "expected a whole gzip stream, found unexpected end of file"],
  ["a gzip file with a wrong checksum", damaged(whole, whole.length - 6), "expected a whole gzip stream, found incorrect data check"],
  ["a gzip file with damage inside", damaged(whole, 40), "expected "],
  ["a gzip magic and nothing else", Buffer.from([0x1f, 0x8b]), "expected a whole gzip stream"],
  [
    "a gzip file with text after it",
    Buffer.concat([whole, Buffer.from("text")]),
    "expected a whole gzip stream, found incorrect header check",
  ],
  [
    "a gzip file with zeros after it",
    Buffer.concat([gzipSync(labels), Buffer.alloc(512)]),
    "expected the file to end with its gzip stream at byte",
  ],
  ["gzip of too much", gzipSync(Buffer.concat([labels, Buffer.alloc(1)])), "expected 12 bytes by its header, found more"],
  ["gzip of too little", gzipSync(labels.subarray(0, 11)), "expected 12 bytes by its header, found 11"],
  [
    "gzip of dimensions beyond what it can hold",
    gzipSync(idx([2 ** 32 - 1], new Uint8Array(4))),
    "expected 4294967303 bytes by its header, found a gzip file of",
  ],
])("%s: ERR_CORRUPT_FILE that says so", async (_, content, message) => {
  const path = directory.put("labels", content);
  const error = (await readIdx(path, 1).catch((reason: unknown) => reason)) as Error;
  expect(error).toMatchObject({ name: "LibtorchOodError", code: "ERR_CORRUPT_FILE" });
  expect(error.message.startsWith(`${path}: expected `)).toBe(true);
  expect(error.message).toContain(message);
});

test("every cut and every changed byte of a gzip file: the true content or ERR_CORRUPT_FILE", async () => {
  const file = gzipSync(
    idx(
      [300],
      new Uint8Array(300).map((_, i) => i % 7),
    ),
  );
  const outcomes = { success: 0, ERR_CORRUPT_FILE: 0 };
  const variants = Array.from(file, (_, at) => [file.subarray(0, at), damaged(file, at)]).flat();
  for (const content of variants) {
    try {
      const { data } = await readIdx(directory.put("variant", content), 1);
      expect(Array.from(data)).toEqual(Array.from({ length: 300 }, (_, i) => i % 7));
      outcomes.success++;
    } catch (error) {
      expect(error).toMatchObject({ name: "LibtorchOodError", code: "ERR_CORRUPT_FILE" });
      outcomes.ERR_CORRUPT_FILE++;
    }
  }
  // Only the gzip header's time, extra flags and system byte (6 of its 10) say nothing about the content.
  expect(outcomes).toEqual({ success: 6, ERR_CORRUPT_FILE: variants.length - 6 });
});

test("dimensions whose product is no safe integer", async () => {
  const path = directory.put("images", gzipSync(idx([2 ** 32 - 1, 2 ** 32 - 1, 2 ** 32 - 1], new Uint8Array(4))));
  await expect(readIdx(path, 3)).rejects.toMatchObject({ code: "ERR_CORRUPT_FILE" });
});

test("a gzip bomb: 1 GB of zeros behind an honest header is refused without being inflated", async () => {
  const megabyte = deflateBlock(new Uint8Array(1 << 20));
  const header = deflateBlock(idx([10], new Uint8Array(0)));
  const start = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
  const path = directory.put("bomb", Buffer.concat([start, header, ...new Array<Buffer>(1024).fill(megabyte)]));
  const before = process.memoryUsage().rss;
  await expect(readIdx(path, 1)).rejects.toMatchObject({
    code: "ERR_CORRUPT_FILE",
    message: expect.stringContaining("found more") as string,
  });
  expect(process.memoryUsage().rss - before).toBeLessThan(100e6);
});

test("inflating does not hold the event loop", async () => {
  const path = directory.put("turning", gzipSync(idx([60_000, 28, 28], new Uint8Array(47_040_000)), { level: 1 }));
  const { turns } = await countTurns(() => readIdx(path, 3));
  expect(turns).toBeGreaterThan(5);
});

test("what cannot be read: ERR_IO", async () => {
  await expect(readIdx(directory.path("absent"), 1)).rejects.toMatchObject({ code: "ERR_IO", cause: { code: "ENOENT" } });
  await expect(readIdx(directory.path("."), 1)).rejects.toMatchObject({ code: "ERR_IO" });
});

test("the shipped MNIST labels are read as zlib's own one-call inflate reads them", async () => {
  const path = `${__dirname}/../../examples/data/mnist-t10k-labels-idx1-ubyte.gz`;
  const { shape, data } = await readIdx(path, 1);
  expect(shape).toEqual([1000]);
  expect(Buffer.from(data).equals(gunzipSync(readFileSync(path)).subarray(8))).toBe(true);
});

function damaged(bytes: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at] = (copy[at] as number) ^ 0xff;
  return copy;
}

/** A deflate stream without its end, so that another can follow. */
function deflateBlock(bytes: Uint8Array): Buffer {
  return deflateSync(bytes, { finishFlush: constants.Z_FULL_FLUSH }).subarray(2);
}
