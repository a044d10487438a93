// The catalogue of named data sets, and reading by its names.

import { join } from "node:path";
import { datasets } from "../../lib";
import { libraryFailureOf } from "../models/resnet/tiny-network";

const shipped = join(__dirname, "../../examples/data");

test("read gives the part that is asked for, by default the test images; the Dataset says what the catalogue says", async () => {
  const { title, shape, classNames, normalization } = datasets.catalogue.mnist;
  for (const part of ["train", undefined] as const) {
    const data = await datasets.read("mnist", shipped, { part });
    expect(data).toMatchObject({ set: title, part: part ?? "test", name: `MNIST ${part ?? "test"}`, shape, classNames, normalization });
  }
});

test("another name and a part that a set does not have are refused", async () => {
  const failures = [
    () => datasets.read("tinyimagenet" as "tiny-imagenet", shipped),
    () => datasets.read("tiny-imagenet", shipped, { part: "train" }),
    () => datasets.read("mnist", shipped, { part: "extra" }),
  ];
  const messages = await Promise.all(failures.map(async (call) => (await libraryFailureOf(call)).message));
  expect(messages).toEqual([
    'name: expected one of "mnist", "fashion-mnist", "kmnist", "cifar10", "cifar100", "svhn", "tiny-imagenet", found "tinyimagenet"',
    'part: expected one of "validation", found "train"',
    'part: expected one of "train", "test", found "extra"',
  ]);
});

test("a part keeps its set through subset, split and conform; no part is read out of a name", async () => {
  const data = datasets.Dataset.fromArrays({ images: new Uint8Array(4), labels: [0, 1, 0, 1], shape: [1, 1, 1], name: "A test", part: "train" });
  for (const same of [data.subset(2), data.split(0.5, 1).train, await datasets.conform(data, { channels: 3, imageSize: 1 })]) {
    expect([same.name, same.set, same.part]).toEqual(["A test train", "A test", "train"]);
  }
});
