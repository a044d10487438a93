// Extraction of more images than fit in memory: the numbers of extract(), never more than one chunk read ahead, and a
// source that is closed whenever something fails.

import { Readable } from "node:stream";
import { Tensor, type Dataset, type ExtractionChunk, type ImageChunk, type ResNet } from "../../../lib";
import { failureOf, libraryFailureOf, tinyData, tinyNetwork, useOneThread } from "./tiny-network";

useOneThread();

let model: ResNet;
beforeAll(async () => {
  model = await tinyNetwork({ seed: 3 });
});
afterAll(() => model.dispose());

const data = tinyData(30);
const shape = (rows: number) => [rows, 1, 8, 8];
const part = (start: number, end: number) => data.images.subarray(start * 64, end * 64);
const after = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const ignore = () => undefined;

/** An asynchronous source that records what is asked of it. */
class Source implements AsyncIterable<ImageChunk> {
  asked = 0;
  given = 0;
  closed = 0;

  constructor(
    private readonly chunks: readonly ImageChunk[],
    private readonly before: (index: number) => unknown = ignore,
  ) {}

  [Symbol.asyncIterator](): AsyncIterator<ImageChunk> {
    return {
      next: async () => {
        const index = this.asked++;
        await this.before(index);
        const value = this.chunks[index];
        if (value === undefined) return { done: true, value: undefined };
        this.given++;
        return { done: false, value };
      },
      return: async () => {
        this.closed++;
        return { done: true, value: undefined };
      },
    };
  }
}

const tenChunks = () => Array.from({ length: 10 }, (_, i) => ({ data: part(3 * i, 3 * i + 3), shape: shape(3) }));

describe("numbers", () => {
  // prettier-ignore
  const forms: [string, () => AsyncIterable<ImageChunk> | Iterable<ImageChunk>][] = [
    ["an array of arrays with shapes", () => [0, 7, 8, 20].map((start, i, all) => ({ data: part(start, all[i + 1] ?? 30), shape: shape((all[i + 1] ?? 30) - start) }))],
    ["tensors", () => [Tensor.from(part(0, 11), shape(11)), Tensor.from(part(11, 30), shape(19))]],
    ["a data set", () => [data]],
    ["a generator", function* () { yield* tenChunks(); }],
    ["an asynchronous generator", async function* () { for (const chunk of tenChunks()) { await after(1); yield chunk; } }],
    ["a Node stream of objects", () => Readable.from(tenChunks())],
    ["chunks with labels", () => [{ images: { data: part(0, 10), shape: shape(10) }, labels: data.labels.slice(0, 10) }, { images: Tensor.from(part(10, 30), shape(20)), labels: data.labels.slice(10) }]],
    ["an empty chunk between others", () => [{ data: part(0, 10), shape: shape(10) }, { data: part(0, 0), shape: shape(0) }, { data: part(10, 30), shape: shape(20) }]],
  ];

  test.each(forms)("%s: those of extract()", async (form, source) => {
    const expected = await model.extract(data);
    const features: number[] = [];
    const logits: number[] = [];
    const labels: number[] = [];
    const result = await model.extractStream(source(), (chunk) => {
      expect(chunk.offset).toBe(features.length / model.featureDim);
      features.push(...(chunk.features.toArray() as Float32Array));
      logits.push(...(chunk.logits.toArray() as Float32Array));
      labels.push(...chunk.labels);
    });
    expect(result).toEqual({ count: 30, skipped: [] });
    const close = (actual: number[], wanted: Tensor) => {
      expect(actual).toHaveLength(wanted.size);
      (wanted.toArray() as Float32Array).forEach((value, i) => expect(Math.abs((actual[i] as number) - value)).toBeLessThan(1e-5));
    };
    close(features, expected.features);
    close(logits, expected.logits);
    expect(labels).toEqual(/labels|data set/.test(form) ? [...data.labels] : []);
  });

  test("a source that uses one buffer for all its chunks", async () => {
    const source = async function* (): AsyncGenerator<ImageChunk> {
      const buffer = new Uint8Array(3 * 64);
      const labels = new Int32Array(3);
      for (let start = 0; start < 30; start += 3) {
        buffer.set(part(start, start + 3));
        labels.set(data.labels.subarray(start, start + 3));
        yield { images: { data: buffer, shape: shape(3) }, labels };
        buffer.fill(0);
        labels.fill(0);
      }
    };
    const expected = (await model.extract(data, { batchSize: 3 })).features.toArray();
    const rows: number[] = [];
    const labels: number[] = [];
    await model.extractStream(source(), (chunk) => {
      rows.push(...(chunk.features.toArray() as Float32Array));
      labels.push(...chunk.labels);
    });
    expect(Float32Array.from(rows)).toEqual(expected);
    expect(labels).toEqual([...data.labels]);
  });

  test("a source whose asynchronous iterator is null is a synchronous one, as for await has it", async () => {
    const source = { [Symbol.asyncIterator]: null, [Symbol.iterator]: () => tenChunks()[Symbol.iterator]() };
    expect((await model.extractStream(source as never, ignore)).count).toBeGreaterThan(0);
  });

  test("an empty source", async () => {
    expect(await model.extractStream([], () => fail("called"))).toEqual({ count: 0, skipped: [] });
  });

  test("options are those of extract()", async () => {
    const options = { outputs: ["rawFeatures"], precision: "bfloat16", batchSize: 5 } as const;
    const expected = await model.extract(data, options);
    await model.extractStream([data], ({ rawFeatures }) => expect(rawFeatures.toArray()).toEqual(expected.rawFeatures.toArray()), options);
  });

  test("the weights are those at the start of the call", async () => {
    const other = await tinyNetwork({ seed: 3 });
    const rows: string[] = [];
    const image = { data: part(0, 1), shape: shape(1) };
    await other.extractStream([image, image, image], async ({ features }) => {
      rows.push(features.toArray().toString());
      await other.fit(tinyData(16), { epochs: 1 });
    });
    expect(new Set(rows).size).toBe(1);
    other.dispose();
  });
});

describe("back-pressure", () => {
  test("a slow sink holds the source back: one chunk is worked on, one is read ahead", async () => {
    const source = new Source(tenChunks());
    const lead: number[] = [];
    let sunk = 0;
    await model.extractStream(source, async () => {
      await after(10); // time enough to read everything, if nothing held it back
      lead.push(source.given - sunk);
      sunk++;
    });
    expect(sunk).toBe(10);
    expect(Math.max(...lead)).toBe(2);
    expect(source).toMatchObject({ asked: 11, given: 10, closed: 0 });
  });

  test("the next chunk is read while one is computed and sunk", async () => {
    const source = new Source(tenChunks());
    let first = true;
    await model.extractStream(source, async () => {
      if (first) {
        await after(5);
        expect(source.given).toBe(2);
      }
      first = false;
    });
  });

  test("chunks reach the sink one at a time and in order; their tensors are disposed afterwards", async () => {
    let open = 0;
    const chunks: ExtractionChunk[] = [];
    await model.extractStream(tenChunks(), async (chunk) => {
      expect(++open).toBe(1);
      chunks.push(chunk);
      await after((chunk.offset * 7) % 5);
      expect(chunk.features.disposed).toBe(false);
      open--;
    });
    expect(chunks.map(({ offset }) => offset)).toEqual([0, 3, 6, 9, 12, 15, 18, 21, 24, 27]);
    expect(chunks.every(({ features, logits }) => features.disposed && logits.disposed)).toBe(true);
  });
});

describe("failures: the very error, and the source closed once", () => {
  const mine = new RangeError("my own");
  const throwing = () => {
    throw mine;
  };

  test.each([
    ["throws", throwing],
    ["rejects", () => Promise.reject(mine)],
    ["rejects later", () => after(10).then(throwing)],
  ])("a sink that %s", async (_, sink) => {
    const source = new Source(tenChunks());
    expect(await failureOf(() => model.extractStream(source, sink))).toBe(mine);
    expect(source.closed).toBe(1);
    expect(source.asked).toBe(2);
  });

  test("what closing the source throws does not hide the first error", async () => {
    const source = { [Symbol.iterator]: () => ({ next: () => ({ done: false, value: data }), return: throwing }) };
    const first = new Error("first");
    const call = () => model.extractStream(source as unknown as Iterable<Dataset>, () => Promise.reject(first));
    expect(await failureOf(call)).toBe(first);
  });

  test.each([0, 1, 5])("a source that fails at chunk %i: those before are sunk, and it is not closed again", async (bad) => {
    const source = new Source(tenChunks(), (index) => (index === bad ? throwing() : undefined));
    let sunk = 0;
    expect(await failureOf(() => model.extractStream(source, () => void sunk++))).toBe(mine);
    expect(sunk).toBe(bad);
    expect(source.closed).toBe(0);
  });

  test("a synchronous source that throws", async () => {
    const source = (function* () {
      yield data;
      throwing();
    })();
    expect(await failureOf(() => model.extractStream(source, ignore))).toBe(mine);
  });

  test("a generator's finally block runs", async () => {
    let cleaned = false;
    const source = async function* () {
      try {
        yield* tenChunks();
      } finally {
        cleaned = true;
      }
    };
    await failureOf(() => model.extractStream(source(), throwing));
    expect(cleaned).toBe(true);
  });

  test.each([
    ["images of another size", { data: new Uint8Array(49), shape: [1, 1, 7, 7] }, "ERR_SHAPE", /found \[1, 1, 7, 7\]/],
    ["NaN", { data: new Float32Array(64).fill(NaN), shape: shape(1) }, "ERR_NON_FINITE", /row 0/],
    [
      "too few labels",
      { images: { data: part(0, 3), shape: shape(3) }, labels: Int32Array.of(1, 2) },
      "ERR_SHAPE",
      /^labels: expected 3, one per image, found 2$/,
    ],
  ])("a chunk with %s", async (_, chunk, code, message) => {
    const source = new Source([...tenChunks().slice(0, 2), chunk as ImageChunk, ...tenChunks()]);
    let sunk = 0;
    const error = await libraryFailureOf(() => model.extractStream(source, () => void sunk++));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    expect(sunk).toBe(2);
    expect(source.closed).toBe(1);
  });

  test.each([
    ["an iterator without next()", { [Symbol.asyncIterator]: () => 5 }],
    ["a property that is no function", { [Symbol.asyncIterator]: 5 }],
    ["a next() that gives null", { [Symbol.iterator]: () => ({ next: () => null }) }],
  ])("a source with %s", async (_, source) => {
    const error = await libraryFailureOf(() => model.extractStream(source as never, ignore));
    expect(error).toMatchObject({ code: "ERR_OPTION", message: /^source: expected / });
  });

  test("a network disposed of before the call", async () => {
    const other = await tinyNetwork();
    other.dispose();
    const source = new Source(tenChunks());
    expect(await libraryFailureOf(() => other.extractStream(source, ignore))).toMatchObject({ code: "ERR_DISPOSED" });
    expect(source).toMatchObject({ asked: 0, closed: 1 });
  });
});

describe("abort", () => {
  test("between chunks", async () => {
    const controller = new AbortController();
    const source = new Source(tenChunks());
    let sunk = 0;
    const sink = () => {
      if (++sunk === 3) controller.abort("enough");
    };
    const error = await libraryFailureOf(() => model.extractStream(source, sink, { signal: controller.signal }));
    expect(error).toMatchObject({ code: "ERR_ABORTED", cause: "enough" });
    expect(sunk).toBe(3);
    expect(source.closed).toBe(1);
  });

  test("while a source that never answers is waited for", async () => {
    const controller = new AbortController();
    const source = new Source(tenChunks(), (index) => (index === 1 ? new Promise(ignore) : undefined));
    setTimeout(() => controller.abort("enough"), 30);
    const start = performance.now();
    const error = await libraryFailureOf(() => model.extractStream(source, ignore, { signal: controller.signal }));
    expect(error).toMatchObject({ code: "ERR_ABORTED", cause: "enough" });
    expect(performance.now() - start).toBeLessThan(2000);
    expect(source.closed).toBe(1);
  });

  test("while a generator that never answers is waited for, whose return() waits as well", async () => {
    const controller = new AbortController();
    const source = async function* (): AsyncGenerator<ImageChunk> {
      yield data;
      await new Promise(ignore);
    };
    setTimeout(() => controller.abort(), 30);
    const error = await libraryFailureOf(() => model.extractStream(source(), ignore, { signal: controller.signal }));
    expect(error.code).toBe("ERR_ABORTED");
  });

  test("listeners do not pile up on a signal that serves many calls", async () => {
    const { signal } = new AbortController();
    let added = 0;
    let removed = 0;
    const counted = Object.create(signal, {
      aborted: { value: false },
      addEventListener: { value: () => void added++ },
      removeEventListener: { value: () => void removed++ },
    }) as AbortSignal;
    await model.extractStream(tenChunks(), ignore, { signal: counted });
    expect(added).toBeGreaterThan(0);
    expect(removed).toBeGreaterThanOrEqual(added);
  });
});
