// Features, logits and head of a TorchScript file, as JSON; torchscript.py compares them with PyTorch's.

import { TorchScriptModel, Tensor } from "../../dist/index.js";

const { path, mean, std } = JSON.parse(process.argv[2]);
const size = 224;
const images = Uint8Array.from({ length: 2 * 3 * size * size }, (_, i) => (i * 37) % 256);
const model = await TorchScriptModel.load(path, { input: { size, mean, std } });
const { features, logits } = await model.extract(Tensor.from(images, [2, 3, size, size]));
const head = await model.head();
const numbers = Object.entries({ features, logits, weight: head.weight });
console.log(JSON.stringify(Object.fromEntries(numbers.map(([name, tensor]) => [name, Array.from(tensor.toArray())]))));
