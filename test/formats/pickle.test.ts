// The pickle reader finds what Python finds (test/reference/datasets_pickle.py), and refuses all that is not plain data.

import { parsePickle, type Pickled } from "../../lib/formats/pickle";
import { PickledArray } from "../../lib/formats/pickle-integers";
import { figures } from "../reliability/campaign";
import expected from "../reference/datasets_pickle.json";

const bytes = (base64: string): Buffer => Buffer.from(base64, "base64");

const versions = ["python2", "python3-2", "python3-3", "python3-4", "python3-5"] as const;

test.each(versions)("dictionary, lists, numbers, text and array as %s writes them", (version) => {
  const content = parsePickle(bytes(expected[version]), "batch") as ReadonlyMap<string, Pickled>;
  expect([...content.keys()]).toEqual(["batch_label", "labels", "data", "filenames", "again"]);
  expect(content.get("labels")).toEqual(expected.labels);
  expect(content.get("filenames")).toEqual(expected.filenames);
  expect(content.get("again")).toBe("batch_label");
  const data = content.get("data") as PickledArray;
  expect(data.shape).toEqual(expected.shape);
  expect(Buffer.from(data.data).equals(bytes(expected.data))).toBe(true);
});

test.each(Object.entries(expected.hostile))("%s: refused", (_, content) => {
  expect(() => parsePickle(bytes(content), "batch")).toThrow(expect.objectContaining({ code: "ERR_CORRUPT_FILE" }) as Error);
});

test.each([
  ["protocol 0", bytes(expected.old["0"]), "found protocol 0 or 1"],
  ["protocol 1", bytes(expected.old["1"]), "found protocol 0 or 1"],
  ["protocol 6", Buffer.from("\x80\x06}.", "latin1"), "found protocol 6"],
  ["a page", Buffer.from("<html><body>404"), "found an HTML page in place of the file"],
  ["nothing", Buffer.alloc(0), "found an empty file"],
])("%s: said what it is, and what to do", (_, content, found) => {
  const expectation = "batch: expected a Python pickle of protocol 2 to 5 (pickle.dump(data, file, protocol=2) writes one), ";
  expect(() => parsePickle(content, "batch")).toThrow(expectation + found);
});

test("an array column by column: said so, with what to do", () => {
  for (const name of ["an array column by column", "a column-major array, protocol 5"] as const) {
    expect(() => parsePickle(bytes(expected.hostile[name]), "batch")).toThrow(
      'batch: expected an array in C order, row by row (numpy.ascontiguousarray gives one), found "u1" [5, 12] in Fortran order',
    );
  }
});

describe("a few opcodes that would make much more than they are", () => {
  const count = (value: number): Buffer => Buffer.from(Uint32Array.of(value).buffer);
  const start = (length: number, kind = "T"): Buffer =>
    Buffer.concat([Buffer.from(`\x80\x02${kind}`, "latin1"), count(length), Buffer.alloc(length, "a"), Buffer.from("q\0")]);
  const encode = "c_codecs\nencode\n";
  const bombs: [string, () => Buffer][] = [
    ["a text that is appended again and again", () => Buffer.concat([start(1e6), Buffer.from("](" + "h\0".repeat(1e5) + "e.")])],
    ["a text that is a key again and again", () => Buffer.concat([start(1e6), Buffer.from("}(" + "h\0N".repeat(1e5) + "u.")])],
    [
      "a text that is encoded again and again",
      () => Buffer.concat([start(1e6, "X"), Buffer.from("](" + (encode + "h\0\x85R").repeat(1e4) + "e.", "latin1")]),
    ],
    [
      "what was encoded, encoded",
      () => Buffer.concat([start(1e6, "X"), Buffer.from((encode + "h\0\x85Rq\0").repeat(1e4) + ".", "latin1")]),
    ],
    [
      "a shape of many sizes, again and again",
      () =>
        Buffer.concat([
          Buffer.from("\x80\x02](" + "K\x01".repeat(1e6) + "eq\0cnumpy.core.multiarray\n_reconstruct\nq\x01", "latin1"),
          Buffer.from("h\x01)R(K\x01h\0NNNtb".repeat(1e4), "latin1"),
          Buffer.from("."),
        ]),
    ],
    ["dictionaries", () => Buffer.from(`\x80\x02](${"}".repeat(1.9e6)}e.`, "latin1")],
    ["short texts", () => Buffer.from(`\x80\x02](${"U\x01a".repeat(1.9e6)}e.`, "latin1")],
    ["lists", () => Buffer.from(`\x80\x02](${"]".repeat(1.9e6)}e.`, "latin1")],
    ["opcodes", () => Buffer.from(`\x80\x02${"N".repeat(1e7)}.`, "latin1")],
    [
      "keys as long as each other",
      () => {
        const key = (i: number): Buffer =>
          Buffer.concat([Buffer.from("T"), count(20_000), Buffer.alloc(20_000, `${i} `), Buffer.from("N")]);
        return Buffer.concat([Buffer.from("\x80\x02}(", "latin1"), ...Array.from({ length: 2000 }, (_, i) => key(i)), Buffer.from("u.")]);
      },
    ],
  ];

  test.each(bombs)("%s", (_, make) => {
    const content = make();
    const [before, start] = [process.memoryUsage(), process.cpuUsage()];
    try {
      parsePickle(content, "batch");
    } catch (error) {
      expect(error).toMatchObject({ code: "ERR_CORRUPT_FILE" });
    }
    const after = process.memoryUsage();
    const grown = after.heapUsed - before.heapUsed + (after.external - before.external) + (after.arrayBuffers - before.arrayBuffers);
    expect(grown).toBeLessThan(300e6); // one copy of the text and what millions of opcodes make; unbounded, each was above 2 GB
    expect(process.cpuUsage(start).user / 1e6).toBeLessThan(10); // seconds; below one on an idle core, unbounded more than a minute
  });
});

test("every cut and 20,000 changes: data or ERR_CORRUPT_FILE", () => {
  const sources = versions.map((version) => bytes(expected[version]));
  const outcomes = { read: 0, refused: 0 };
  const attempt = (content: Uint8Array): void => {
    try {
      parsePickle(content, "batch");
      outcomes.read++;
    } catch (error) {
      if ((error as { code?: unknown }).code !== "ERR_CORRUPT_FILE") throw error;
      outcomes.refused++;
    }
  };
  for (const source of sources) for (let length = 0; length < source.length; length++) attempt(source.subarray(0, length));
  expect(outcomes.read).toBe(0);
  let state = 7;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (let i = 0; i < 20_000; i++) {
    const copy = Buffer.from(sources[i % sources.length] as Buffer);
    for (let changes = 1 + random(4); changes > 0; changes--)
      copy[random(copy.length)] = random(2) ? random(256) : ("}](tqhaebRcu.".charCodeAt(random(13)) as number);
    attempt(copy);
  }
  figures("hostile files, pickle", { files: 20_000, ...outcomes });
  expect(outcomes.read).toBeGreaterThan(1000);
  expect(outcomes.refused).toBeGreaterThan(5000);
});
