// The pickle reader finds what Python finds (test/reference/datasets_pickle.py), and refuses all that is not plain data.

import { parsePickle, PickledArray, type Pickled } from "../../lib/files/pickle";
import { figures } from "../reliability/campaign";
import expected from "../reference/datasets_pickle.json";

const bytes = (base64: string): Buffer => Buffer.from(base64, "base64");

test.each(["python2", "python3"] as const)("dictionary, lists, numbers, text and array as %s writes them", (version) => {
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

test("every cut and 20,000 changes: data or ERR_CORRUPT_FILE", () => {
  const sources = [bytes(expected.python2), bytes(expected.python3)];
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
    const copy = Buffer.from(sources[i % 2] as Buffer);
    for (let changes = 1 + random(4); changes > 0; changes--)
      copy[random(copy.length)] = random(2) ? random(256) : ("}](tqhaebRcu.".charCodeAt(random(13)) as number);
    attempt(copy);
  }
  figures("hostile files, pickle", { files: 20_000, ...outcomes });
  expect(outcomes.read).toBeGreaterThan(1000);
  expect(outcomes.refused).toBeGreaterThan(5000);
});
