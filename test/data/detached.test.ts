// A data set whose memory is gone (transferred to a worker, shrunk) is refused by everything that takes one: it never passes for black images.

import { Dataset, datasets, Detector, type LibtorchOodError, type ResNet } from "../../lib";
import { dataHash } from "../../lib/data/data-hash";
import { libraryFailureOf, tinyData, tinyNetwork, useOneThread } from "../models/resnet/tiny-network";

useOneThread();
let model: ResNet;
beforeAll(async () => {
  model = await tinyNetwork({ seed: 1 });
});

/** A data set over buffers of its own. */
function owned(): Dataset {
  const { images, labels, shape, normalization } = tinyData(60);
  return Dataset.fromArrays({ images: Uint8Array.from(images), labels: Int32Array.from(labels), shape, normalization: normalization! });
}

const transfer = (array: Uint8Array | Int32Array) => void structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] });

interface Resizable extends ArrayBuffer {
  resize(bytes: number): void;
}
const resizable = (bytes: number) =>
  new (ArrayBuffer as unknown as new (n: number, options: object) => Resizable)(bytes, { maxByteLength: bytes });

/** Views that follow the length of a buffer, which then loses an image or its label. */
function shrunk(which: "images" | "labels"): Dataset {
  const { images, labels, shape, normalization } = tinyData(60);
  const buffers = { images: resizable(images.length), labels: resizable(4 * labels.length) };
  const views = { images: new Uint8Array(buffers.images), labels: new Int32Array(buffers.labels) };
  views.images.set(images);
  views.labels.set(labels);
  const data = Dataset.fromArrays({ ...views, shape, normalization: normalization! });
  buffers[which].resize(which === "images" ? images.length - 64 : 4 * labels.length - 4);
  return data;
}

function detached(which: "images" | "labels"): Dataset {
  const data = owned();
  transfer(data[which]);
  return data;
}

const gone: [string, "images" | "labels", () => Dataset][] = [
  ["images transferred", "images", () => detached("images")],
  ["labels transferred", "labels", () => detached("labels")],
  ["images shrunk", "images", () => shrunk("images")],
  ["labels shrunk", "labels", () => shrunk("labels")],
];

const uses: [string, (data: Dataset) => unknown][] = [
  ["extract", (data) => model.extract(data)],
  ["extractStream", (data) => model.extractStream([data], () => undefined)],
  ["overlap", (data) => model.overlap(data)],
  ["fit", (data) => model.fit(data, { epochs: 1 })],
  ["fit, validation", (data) => model.fit(owned(), { epochs: 1, validation: data })],
  ["image", (data) => data.image(0)],
  ["subset of a count", (data) => data.subset(2)],
  ["subset of indices", (data) => data.subset([1, 0])],
  ["split", (data) => data.split(0.5, 1)],
  ["withNormalization", (data) => data.withNormalization(undefined)],
  ["Detector.fit, train", (data) => Detector.fit(model, data, { calibration: tinyData(30, "held") })],
  ["Detector.fit, calibration", (data) => Detector.fit(model, owned(), { calibration: data })],
  ["dataHash", (data) => dataHash([data])],
];

describe.each(gone)("%s", (_, which, make) => {
  test.each(uses)("%s", async (__, use) => {
    const error: LibtorchOodError = await libraryFailureOf(() => use(make()));
    expect(error).toMatchObject({
      code: "ERR_SHAPE",
      message: expect.stringMatching(new RegExp(`^${which}: expected .* as when`)) as string,
    });
  });
});

test("computeNormalization", async () => {
  for (const make of [() => detached("images"), () => shrunk("images")]) {
    expect(await libraryFailureOf(() => datasets.computeNormalization(make()))).toMatchObject({ code: "ERR_SHAPE" });
  }
});

test("memory that goes while extract is at work: the images are those of the call, or ERR_SHAPE", async () => {
  const data = owned();
  const expected = (await model.extract(tinyData(60))).features.toArray();
  const call = model.extract(data);
  transfer(data.images);
  transfer(data.labels);
  const { features, labels } = await call;
  expect(features.toArray()).toEqual(expected);
  expect(labels).toEqual(tinyData(60).labels);
});
