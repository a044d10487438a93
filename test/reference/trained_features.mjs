// Features of a real network for the reference values: trains a small L2-normalised ResNet18 on the digits of the quickstart and writes
// trained_features.safetensors (float32): 80 training digits of each class, 200 test digits and 100 images of clothes.
//
//   node test/reference/trained_features.mjs

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { datasets, ResNet } from "libtorch-ood";

const { writeSafetensors } = createRequire(import.meta.url)("../../dist/formats/safetensors.js");
const perClass = 80;

const directory = fileURLToPath(new URL("../../examples/data", import.meta.url));
const { train, test } = await datasets.mnist(directory, { prefix: "mnist-" });
const { test: clothes } = await datasets.fashionMnist(directory, { prefix: "fashion-", splits: ["test"] });

const model = await ResNet.create({ numClasses: 10, inChannels: 1, imageSize: 28, width: 1 / 8, featureDim: 32, seed: 1 });
const history = await model.fit(train, { epochs: 6, batchSize: 64, milestones: [5], precision: "float32", seed: 1 });
console.log(`training accuracy of the last epoch: ${history.at(-1).accuracy}`);

const [ofTrain, ofTest, ofClothes] = [await model.extract(train), await model.extract(test), await model.extract(clothes)];
const taken = new Array(10).fill(0);
const trainRows = Array.from(ofTrain.labels.keys()).filter((i) => taken[ofTrain.labels[i]]++ < perClass);
const firstRows = (count) => Array.from({ length: count }, (_, i) => i);
const tensors = [];
for (const [name, { features, logits, labels }, rows] of [
  ["train", ofTrain, trainRows],
  ["test", ofTest, firstRows(200)],
  ["clothes", ofClothes, firstRows(100)],
]) {
  tensors.push(chosen(`${name}.features`, features, rows), chosen(`${name}.logits`, logits, rows));
  tensors.push({ name: `${name}.labels`, dtype: "U8", shape: [rows.length], data: Uint8Array.from(rows, (i) => labels[i]) });
}
const weights = await model.weights();
for (const name of ["fc.weight", "fc.bias"]) {
  const tensor = weights.get(name);
  tensors.push({ name, dtype: "F32", shape: tensor.shape, data: tensor.toArray() });
}
await writeSafetensors(fileURLToPath(new URL("trained_features.safetensors", import.meta.url)), tensors, {
  metadata: { about: "ResNet18 of width 1/8, 32 features, L2-normalised, 6 epochs on 6,000 MNIST digits, seed 1" },
});

function chosen(name, tensor, rows) {
  const columns = tensor.shape[1];
  const all = tensor.toArray();
  const data = new Float32Array(rows.length * columns);
  rows.forEach((row, i) => data.set(all.subarray(row * columns, (row + 1) * columns), i * columns));
  return { name, dtype: "F32", shape: [rows.length, columns], data };
}
