import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, truncateSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import {
  openSafetensors,
  parseSafetensors,
  readSafetensors,
  serializeSafetensors,
  toValues,
  writeSafetensors,
  type SafetensorsDtype,
  type SafetensorsInput,
} from "../../lib/formats/safetensors";
import { bytesPerElement } from "../../lib/core/dtype";
import { dtypeIn, safetensorsDtypes } from "../../lib/formats/safetensors-data";
import { countTurns } from "../support/event-loop";
import { temporaryDirectory } from "../support/temporary-directory";

const directory = temporaryDirectory();
const referencePath = (name: string): string => join(__dirname, "../reference", name);

interface Reference {
  python: Record<string, { dtype: SafetensorsDtype; shape: number[]; values: string[] }>;
  files: { name: string; base64: string; accepted: boolean; stricter?: string }[];
}
const reference = JSON.parse(readFileSync(referencePath("files_safetensors.json"), "utf8")) as Reference;

/** What test/reference/files_safetensors.py asserts to read in files_safetensors_ours.safetensors. */
const ours: SafetensorsInput[] = [
  { name: "f64", dtype: "F64", shape: [1, 3], data: new Float64Array([0.1, -1e300, 5e-324]) },
  { name: "u8", dtype: "U8", shape: [3], data: new Uint8Array([0, 128, 255]) },
  { name: "f32", dtype: "F32", shape: [3, 1], data: new Float32Array([1.5, -0, Infinity]) },
  { name: "f16", dtype: "F16", shape: [4], data: new Uint16Array([0x3c00, 0xc000, 0x7bff, 0x0001]) },
  { name: "bf16", dtype: "BF16", shape: [3], data: new Uint16Array([0x3f80, 0xc000, 0x7f7f]) },
  { name: "i64", dtype: "I64", shape: [4], data: new Int32Array([1, -1, 2147483647, -2147483648]) },
  { name: "i64 big", dtype: "I64", shape: [2], data: new BigInt64Array([2n ** 62n, -(2n ** 63n)]) },
  { name: "i32", dtype: "I32", shape: [2], data: new Int32Array([7, -7]) },
  { name: "i16", dtype: "I16", shape: [2], data: new Int16Array([300, -300]) },
  { name: "i8", dtype: "I8", shape: [2, 1, 1], data: new Int8Array([-128, 127]) },
  { name: "bool", dtype: "BOOL", shape: [3], data: new Uint8Array([1, 0, 1]) },
  { name: "scalar", dtype: "F32", shape: [], data: new Uint8Array([0, 0, 0x20, 0x40]) },
  { name: "empty", dtype: "F32", shape: [3, 0, 2], data: new Float32Array(0) },
  { name: "__proto__", dtype: "U8", shape: [1], data: new Uint8ClampedArray([9]) },
];
const ourMetadata = new Map([
  ["format", "pt"],
  ["écrit par", 'nous "ici" \\ 火'],
  ["__proto__", "text"],
]);

describe("beside the format's Python package", () => {
  test("what we write is, byte for byte, the file that Python has read", async () => {
    const path = directory.path("ours.safetensors");
    await writeSafetensors(path, ours, { metadata: ourMetadata });
    const written = readFileSync(path);
    expect(written.equals(readFileSync(referencePath("files_safetensors_ours.safetensors")))).toBe(true);
    expect(written.equals(serializeSafetensors(ours, { metadata: ourMetadata }))).toBe(true);
    expect(written.readBigUint64LE(0) % 8n).toBe(0n);
  });

  test("we read what Python writes, every dtype to the last bit", async () => {
    const { metadata, tensors } = await readSafetensors(referencePath("files_safetensors_python.safetensors"));
    expect(metadata).toEqual(
      new Map([
        ["framework", "torch"],
        ["ключ", "значение"],
      ]),
    );
    expect([...tensors.keys()].sort()).toEqual(Object.keys(reference.python).sort());
    for (const [name, { dtype, shape, values }] of Object.entries(reference.python)) {
      const tensor = tensors.get(name);
      expect(tensor).toMatchObject({ dtype, shape });
      const expected = values.map((value) => (value === "True" ? 1 : value === "False" ? 0 : Number(value.replace("inf", "Infinity"))));
      expect(Array.from(toValues(dtype, tensor?.data as Uint8Array))).toEqual(expected);
    }
  });

  test(`agrees with the official reader on ${reference.files.length} sound and damaged files, and is stricter where it says so`, () => {
    const disagreements = reference.files.filter(({ base64, accepted, stricter }) => {
      const outcome = outcomeOf(Buffer.from(base64, "base64"));
      return outcome !== (accepted && stricter === undefined ? "success" : "ERR_CORRUPT_FILE");
    });
    expect(disagreements.map(({ name }) => name)).toEqual([]);
    expect(reference.files.filter(({ accepted }) => accepted).length).toBeGreaterThan(60);
    expect(reference.files.filter(({ accepted }) => !accepted).length).toBeGreaterThan(150);
  });
});

describe("reading", () => {
  test("lazily: the header first, then one tensor at a time, each with memory of its own", async () => {
    const file = await openSafetensors(referencePath("files_safetensors_ours.safetensors"));
    expect([...file.tensors.keys()]).toEqual(ours.map(({ name }) => name));
    expect(file.metadata).toEqual(ourMetadata);
    expect(file.tensors.get("f32")).toMatchObject({ dtype: "F32", shape: [3, 1], byteLength: 12 });
    const bytes = await file.read("f32");
    expect([bytes.byteOffset, bytes.buffer.byteLength]).toEqual([0, 12]);
    expect(new Float32Array(bytes.buffer)).toEqual(new Float32Array([1.5, -0, Infinity]));
    const [a, b] = await Promise.all([file.read("u8"), file.read("u8")]);
    expect(a).toEqual(b);
    expect(a.buffer).not.toBe(b.buffer);
    await expect(file.read("absent")).rejects.toMatchObject({
      code: "ERR_OPTION",
      message: expect.stringContaining('no tensor "absent"') as string,
    });
    await expect(file.read("toString")).rejects.toMatchObject({ code: "ERR_OPTION" });
    const last = file.read("f64");
    await file.close();
    expect((await last).length).toBe(24);
    await file.close();
    await expect(file.read("f32")).rejects.toMatchObject({ code: "ERR_DISPOSED" });
  });

  test("a file that shrinks after it was opened", async () => {
    const path = directory.put("shrinks", serializeSafetensors([{ name: "a", dtype: "U8", shape: [100], data: new Uint8Array(100) }]));
    const file = await openSafetensors(path);
    truncateSync(path, readFileSync(path).length - 1);
    const error = (await file.read("a").catch((reason: unknown) => reason)) as Error;
    expect(error).toMatchObject({ code: "ERR_CORRUPT_FILE" });
    expect(error.message).toContain("the end of the file");
    await file.close();
  });

  test("what is no file at all: ERR_IO that names it, and a pipe does not hang", async () => {
    await expect(openSafetensors(directory.path("absent"))).rejects.toMatchObject({ code: "ERR_IO", cause: { code: "ENOENT" } });
    await expect(openSafetensors(directory.path("."))).rejects.toMatchObject({
      code: "ERR_IO",
      message: expect.stringContaining("expected a file, found a directory") as string,
    });
    execFileSync("mkfifo", [directory.path("pipe")]);
    await expect(readSafetensors(directory.path("pipe"))).rejects.toMatchObject({ code: "ERR_IO" });
    await expect(openSafetensors(3 as never)).rejects.toMatchObject({ code: "ERR_OPTION" });
  });

  test("no file stays open after a refusal", async () => {
    const path = directory.put("refused", "{}");
    const open = (): number => readdirSync("/proc/self/fd").length;
    const before = open();
    for (let i = 0; i < 20; i++) await expect(openSafetensors(path)).rejects.toMatchObject({ code: "ERR_CORRUPT_FILE" });
    expect(open()).toBeLessThan(before + 5);
  });

  test.each([
    ["", "at least 10 bytes, found 0 bytes"],
    ["PK\u0003\u0004 a zip file from torch.save", "a safetensors file, found a zip archive"],
    [withHeader("[1, 2]"), 'a safetensors header that begins with "{", found "[1, 2]"'],
    [withHeader('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', 4), "span the 8 bytes of F32 [2], found [0, 4]"],
    [withHeader('{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}', 8), "integers from 0 to 2^53 - 1 in the shape"],
    [withHeader('{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}', 8), "that fits in memory"],
    [withHeader('{"a":{"dtype":"F8","shape":[],"data_offsets":[0,1]}}', 1), 'a dtype of tensor "a" out of F64, F32'],
    [withHeader('{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', 2), "(a hole before it)"],
    [withHeader('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 2), "bytes by its header, found"],
    [withHeader('{"a":{"dtype":"U8","shape":[1]}}', 1), "found no data_offsets"],
    [withHeader(`{"a":{"dtype":"U8","shape":[${"1,".repeat(64)}1],"data_offsets":[0,1]}}`, 1), "at most 64 numbers"],
    [withHeader('{"__metadata__":{"a":"1","a":"2"}}'), 'distinct keys in __metadata__, found "a" twice'],
  ])("says what was expected and what was found (%#)", (content, message) => {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    expect(() => parseSafetensors(bytes, "weights.safetensors")).toThrow(/^weights\.safetensors: expected /);
    expect(() => parseSafetensors(bytes)).toThrow(message);
  });

  test.each([
    [
      "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 13\n",
      "a Git LFS pointer in place of the file (git lfs pull fetches it)",
    ],
    ["<!DOCTYPE html>\n<html><body>404</body></html>", "an HTML page in place of the file"],
    ["\n <html>", "an HTML page in place of the file"],
    ["GGUF\x03\0\0\0 and more", "a GGUF model"],
    ["PK\x03\x04" + "\0".repeat(22) + "\x0a\0\0\0x/data.pkl", "a PyTorch file (.pt): save its tensors with safetensors.torch.save_file"],
    [
      "PK\x03\x04" + "\0".repeat(22) + "\x0c\0\0\0features.npy",
      "a NumPy archive (.npz): save the one array that is wanted with numpy.save",
    ],
    ["\x93NUMPY\x01\0v\0", "a NumPy array (.npy)"],
    ["\x80\x04\x95\0\0\0\0\0\0\0\0}.", "a Python pickle of protocol 4"],
    ["\x89HDF\r\n\x1a\n and more", "an HDF5 file"],
    ["\x1f\x8b\x08\0\0\0\0\0\0\0", "a gzip file"],
    ["class one\nclass two\n", 'text that begins "class one\\nclass two\\n"'],
  ])("what another kind of file is: %j", async (content, kind) => {
    const path = directory.put("kind", Buffer.from(content, "latin1"));
    await expect(openSafetensors(path)).rejects.toMatchObject({
      code: "ERR_CORRUPT_FILE",
      message: `${path}: expected a safetensors file, found ${kind}`,
    });
  });

  test("a header whose length looks like the beginning of another kind is read", () => {
    for (const start of [0x8b1f, 0x4b50, 0x5a42]) {
      const entry = '{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}';
      expect(parseSafetensors(withHeader(entry.padEnd(start), 1)).tensors.size).toBe(1);
    }
  });

  test("no metadata may be null; twice is twice, also of null", () => {
    expect(parseSafetensors(withHeader('{"__metadata__":null}')).metadata.size).toBe(0);
    for (const rest of ['{"k":"v"}', "null"]) {
      expect(() => parseSafetensors(withHeader(`{"__metadata__":null,"__metadata__":${rest}}`))).toThrow(/"__metadata__" twice/);
    }
    expect(() => parseSafetensors(withHeader('{"__metadata__":nul}'))).toThrow(/in __metadata__/);
  });

  test("every dtype of the format is passed over where it is not asked for, and read where its numbers are known", () => {
    const unsigned = {
      U16: new Uint8Array(Uint16Array.of(1, 65_535).buffer),
      U32: new Uint8Array(Uint32Array.of(1, 2 ** 32 - 1).buffer),
      U64: new Uint8Array(BigUint64Array.of(1n, 2n ** 53n - 1n).buffer),
    };
    for (const [dtype, data] of Object.entries(unsigned) as [keyof typeof unsigned, Uint8Array][]) {
      const found = parseSafetensors(serializeSafetensors([{ name: "a", dtype, shape: [2], data }])).tensors.get("a")!;
      expect(Array.from(toValues(dtype, found.data))).toEqual([1, { U16: 65_535, U32: 2 ** 32 - 1, U64: 2 ** 53 - 1 }[dtype]]);
    }
    expect(() => toValues("U64", new Uint8Array(BigUint64Array.of(2n ** 53n).buffer))).toThrow(
      expect.objectContaining({ code: "ERR_RANGE" }) as Error,
    );
    const others = ["C64", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F6_E2M3", "F6_E3M2", "F4"] as const;
    const tensors = others.map((dtype) => ({ name: dtype, dtype, shape: [8], data: new Uint8Array(8 * bytesPerElement(dtypeIn(dtype))) }));
    const content = parseSafetensors(serializeSafetensors([...tensors, { name: "a", dtype: "U8", shape: [1], data: new Uint8Array(1) }]));
    expect([...content.tensors.keys()]).toEqual([...others, "a"]);
    for (const dtype of others) {
      expect(() => toValues(dtype, content.tensors.get(dtype)!.data)).toThrow(expect.objectContaining({ code: "ERR_DTYPE" }) as Error);
    }
    // Three numbers of four bits are no whole number of bytes.
    expect(() => parseSafetensors(withHeader('{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}', 1))).toThrow(/that fits in memory/);
  });

  test("a large header leaves the event loop free", async () => {
    const entries = Array.from({ length: 100_000 }, (_, i) => `"layer.${i}.weight":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`);
    const texts = Array.from({ length: 100_000 }, (_, i) => `"key ${i}":"\\u0041${i}"`);
    const path = directory.put("large", withHeader(`{${entries.join(",")},"__metadata__":{${texts.join(",")}}${" ".repeat(2e7)}}`));
    const { result: file, turns } = await countTurns(() => openSafetensors(path));
    expect([file.tensors.size, file.metadata.size, file.metadata.get("key 7")]).toEqual([100_000, 100_000, "A7"]);
    await file.close();
    expect(turns).toBeGreaterThan(20);
  });

  test("names of object members are only names", () => {
    const { tensors, metadata } = parseSafetensors(
      withHeader('{"__metadata__":{"__proto__":"x"},"__proto__":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}', 1),
    );
    expect(tensors.get("__proto__")?.dtype).toBe("U8");
    expect(metadata.get("__proto__")).toBe("x");
    expect(({} as { dtype?: unknown }).dtype).toBeUndefined();
  });

  test.each([
    ["a header of 50 MB of opening brackets", () => withHeader("{".repeat(5e7))],
    ["nested objects", () => withHeader('{"a":'.repeat(1e6))],
    ["a key of 50 MB that does not end", () => withHeader(`{"${"\\\\".repeat(2.5e7)}`)],
    ["a shape of a million dimensions", () => withHeader(`{"a":{"shape":[${"1,".repeat(1e6)}1]}}`)],
    [
      "more entries than any model",
      () => withHeader(`{"__metadata__":{${Array.from({ length: 1_000_001 }, (_, i) => `"${i}":""`).join(",")}}}`),
    ],
    ["spaces", () => withHeader("{" + " ".repeat(5e7))],
  ])("%s: refused in linear time", (_, bytes) => {
    const file = bytes();
    const start = process.cpuUsage();
    expect(() => parseSafetensors(file)).toThrow(expect.objectContaining({ code: "ERR_CORRUPT_FILE" }));
    // Processor time, not the clock: it takes 2.5 s for the million entries, and quadratic time would take hours.
    expect(process.cpuUsage(start).user / 1e6).toBeLessThan(15);
  });
});

describe("writing", () => {
  const one: SafetensorsInput = { name: "a", dtype: "F32", shape: [1], data: new Float32Array(1) };

  test.each<[string, SafetensorsInput[], string]>([
    ["a name twice", [one, one], "ERR_OPTION"],
    ["the reserved name", [{ ...one, name: "__metadata__" }], "ERR_OPTION"],
    ["a name that UTF-8 cannot hold", [{ ...one, name: "\ud800" }], "ERR_OPTION"],
    ["a dtype that is none", [{ ...one, dtype: "toString" as "F32" }], "ERR_OPTION"],
    ["a negative size", [{ ...one, shape: [-1] }], "ERR_SHAPE"],
    ["a fractional size", [{ ...one, shape: [1.5] }], "ERR_SHAPE"],
    ["a shape beyond 2^53", [{ ...one, shape: [2 ** 40, 2 ** 40] }], "ERR_SHAPE"],
    ["too little data", [{ ...one, shape: [2] }], "ERR_SHAPE"],
    ["data of another dtype", [{ ...one, data: new Float64Array(1) }], "ERR_DTYPE"],
    ["data that is no typed array", [{ ...one, data: [1] as unknown as Float32Array }], "ERR_DTYPE"],
  ])("%s: refused before a file is made", async (_, tensors, code) => {
    const path = directory.path("refused-write");
    await expect(writeSafetensors(path, tensors)).rejects.toMatchObject({ code });
    expect(readdirSync(directory.path("."))).not.toContain("refused-write");
  });

  test("options are checked", () => {
    expect(() => serializeSafetensors([one], { metadata: { a: 1 } as never })).toThrow(expect.objectContaining({ code: "ERR_OPTION" }));
    expect(() => serializeSafetensors([one], { meta: {} } as never)).toThrow(/unknown option "meta"/);
    expect(() => toValues("F32", new Uint8Array(3))).toThrow(expect.objectContaining({ code: "ERR_SHAPE" }));
    expect(() => toValues("I64", new Uint8Array(new BigInt64Array([2n ** 53n]).buffer))).toThrow(
      expect.objectContaining({ code: "ERR_RANGE" }),
    );
  });

  test("no tensors at all is a file, too", async () => {
    const path = directory.path("none");
    await writeSafetensors(path, []);
    expect((await readSafetensors(path)).tensors.size).toBe(0);
  });

  test("any tensors and metadata come back as they were, from memory and from a file", async () => {
    const text = fc.string({ unit: "grapheme", maxLength: 12 });
    const tensor = fc
      .record({
        name: text.filter((name) => name !== "__metadata__"),
        dtype: fc.constantFrom(...safetensorsDtypes.filter((dtype) => bytesPerElement(dtypeIn(dtype)) >= 1)),
        shape: fc.array(fc.nat({ max: 4 }), { maxLength: 4 }),
      })
      .chain(({ name, dtype, shape }) => {
        const length = shape.reduce((a, b) => a * b, bytesPerElement(dtypeIn(dtype)));
        return fc.uint8Array({ minLength: length, maxLength: length }).map((data): SafetensorsInput => ({ name, dtype, shape, data }));
      });
    const tensors = fc.uniqueArray(tensor, { maxLength: 6, selector: ({ name }) => name });
    const metadata = fc.array(fc.tuple(text, text), { maxLength: 4 }).map((pairs) => new Map(pairs));
    await fc.assert(
      fc.asyncProperty(tensors, metadata, async (inputs, pairs) => {
        const bytes = serializeSafetensors(inputs, { metadata: pairs });
        const path = directory.put("round-trip", bytes);
        for (const content of [parseSafetensors(bytes), await readSafetensors(path)]) {
          expect(content.metadata).toEqual(pairs);
          expect(
            [...content.tensors].map(([name, { dtype, shape, data }]) => ({ name, dtype, shape, data: Buffer.from(data).toString("hex") })),
          ).toEqual(
            inputs.map(({ name, dtype, shape, data }) => ({ name, dtype, shape, data: Buffer.from(data as Uint8Array).toString("hex") })),
          );
        }
      }),
      { numRuns: 200, seed: 1 },
    );
  });

  test("float16 bit patterns, all of them, widen to the value that IEEE 754 gives", () => {
    const patterns = Uint16Array.from({ length: 65_536 }, (_, bits) => bits);
    const values = toValues("F16", new Uint8Array(patterns.buffer));
    const wrong = patterns.filter((bits) => !Object.is(values[bits], binary16(bits)));
    expect(Array.from(wrong)).toEqual([]);
    const brain = toValues("BF16", new Uint8Array(patterns.buffer));
    const view = new DataView(new ArrayBuffer(4));
    const wrongBrain = patterns.filter((bits) => {
      view.setUint16(0, bits);
      return !Object.is(brain[bits], view.getFloat32(0));
    });
    expect(Array.from(wrongBrain)).toEqual([]);
  });
});

/** binary16 by way of binary32: the exponent is moved to where binary32 has it, and the difference of the biases is multiplied back. */
function binary16(bits: number): number {
  const view = new DataView(new ArrayBuffer(4));
  if ((bits & 0x7c00) === 0x7c00) view.setUint32(0, ((bits & 0x8000) << 16) | 0x7f800000 | ((bits & 0x3ff) << 13));
  else view.setUint32(0, ((bits & 0x8000) << 16) | ((bits & 0x7fff) << 13));
  return (bits & 0x7c00) === 0x7c00 ? view.getFloat32(0) : view.getFloat32(0) * 2 ** 112;
}

function withHeader(header: string, dataBytes = 0): Uint8Array {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

function outcomeOf(bytes: Uint8Array): string {
  try {
    parseSafetensors(bytes);
    return "success";
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
}

describe("what is no tensor, no list of tensors and no bytes", () => {
  const tensor = { name: "a", dtype: "F32", shape: [1], data: new Float32Array(1) } as const;

  test.each<[string, unknown, string]>([
    ["null", null, "ERR_OPTION"],
    ["a number", 5, "ERR_OPTION"],
    ["an object", { a: tensor }, "ERR_OPTION"],
    ["nulls", [null], "ERR_OPTION"],
    ["a shape with a hole", [{ ...tensor, shape: Array(1) }], "ERR_SHAPE"],
    ["65 sizes", [{ ...tensor, shape: Array(65).fill(1) }], "ERR_SHAPE"],
  ])("writing %s", async (_, tensors, expected) => {
    await expect(writeSafetensors(directory.path("never.safetensors"), tensors as never)).rejects.toMatchObject({ code: expected });
  });

  test("an endless list of tensors is refused once no header could hold them", async () => {
    function* endless() {
      for (let i = 0; ; i++) yield { ...tensor, name: `${i}${"x".repeat(100_000)}` };
    }
    await expect(writeSafetensors(directory.path("never.safetensors"), endless())).rejects.toMatchObject({ code: "ERR_RANGE" });
  });

  test("bytes that are none, or whose memory has been transferred", () => {
    const gone = new Uint8Array(100);
    structuredClone(gone.buffer, { transfer: [gone.buffer] });
    expect(() => parseSafetensors(gone)).toThrow(expect.objectContaining({ code: "ERR_CORRUPT_FILE" }) as Error);
    expect(toValues("F32", gone)).toHaveLength(0);
    for (const other of [Float32Array.of(1, 2, 3, 4), new DataView(new ArrayBuffer(8)), [1, 2, 3, 4], null]) {
      expect(() => toValues("F32", other as never)).toThrow(expect.objectContaining({ code: "ERR_DTYPE" }) as Error);
    }
    expect(() => parseSafetensors(new Uint8Array(3), Symbol("x") as never)).toThrow(
      expect.objectContaining({ code: "ERR_OPTION" }) as Error,
    );
  });

  test("an array that is transferred while it is written leaves no file", async () => {
    const data = new Float32Array(30_000_000);
    const path = directory.path("transferred.safetensors");
    const written = writeSafetensors(path, [{ ...tensor, shape: [data.length], data }]);
    structuredClone(data.buffer, { transfer: [data.buffer] });
    await expect(written).rejects.toMatchObject({ code: "ERR_SHAPE" });
    expect(existsSync(path)).toBe(false);
  });
});
