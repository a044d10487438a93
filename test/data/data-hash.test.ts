// The hash of what a network was trained with: equal for equal data sets, another where anything of them is another.

import { Dataset, datasets } from "../../lib";
import { dataHash } from "../../lib/data/data-hash";
import { libraryFailureOf, tinyData } from "../models/resnet/tiny-network";

const { images, labels, shape } = tinyData(6);
const dataset = (change: object = {}) => Dataset.fromArrays({ images, labels, shape, ...change });

test("copies, names of sets and classes and their normalisation make no difference", async () => {
  const hash = await dataHash([dataset()]);
  expect(hash).toMatch(/^[0-9a-f]{64}$/);
  const copies = { images: images.slice(), labels: Array.from(labels) };
  const named = { name: "others", classNames: ["a", "b", "c"], normalization: { mean: [0.5], std: [0.5] } };
  expect(await dataHash([dataset({ ...copies, ...named })])).toBe(hash);
});

test("a pixel, a label, the order, the shape, and how images are shared out between sets do", async () => {
  const [channels, height, width] = shape;
  const data = dataset();
  const sets: (Dataset | undefined)[][] = [
    [data],
    [dataset({ images: images.map((byte, i) => (i === images.length - 1 ? byte ^ 1 : byte)) })],
    [dataset({ labels: labels.map((label, i) => (i === 5 ? (label + 1) % 3 : label)) })],
    [data.subset([1, 0, 2, 3, 4, 5])],
    [dataset({ shape: [channels, height / 2, width * 2] })],
    [dataset({ shape: [channels * 2, height / 2, width] })],
    [data.subset(5)],
    [data.subset(5), data.subset([5])],
    [data.subset(4), data.subset([4, 5])],
    [data.subset([5]), data.subset(5)],
    [data, undefined],
    [undefined, data],
    [data, data],
  ];
  expect(new Set(await Promise.all(sets.map(dataHash))).size).toBe(sets.length);
});

test("datasets.hash is that of one set, and refuses anything else", async () => {
  expect(await datasets.hash(dataset())).toBe(await dataHash([dataset()]));
  expect(await libraryFailureOf(() => datasets.hash({ images, labels } as never))).toMatchObject({ code: "ERR_OPTION" });
});
