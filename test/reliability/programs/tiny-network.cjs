// The network and the data of these programs, small, so that a program's time is that of its start; and jobs that last for minutes.
const { join } = require("node:path");
const { Dataset, device, OnnxModel, ResNet } = require("../../../dist/index.js");

const normalization = { mean: [0.5], std: [0.25] };

const network = (options = {}) => ResNet.create({ numClasses: 3, inChannels: 1, imageSize: 8, width: 0.125, normalization, ...options });

const data = (count, size = 8) =>
  Dataset.fromArrays({
    images: Uint8Array.from({ length: count * size * size }, (_, i) => Math.imul(i, 0x9e3779b1) >>> 24),
    labels: Array.from({ length: count }, (_, i) => i % 3),
    shape: [1, size, size],
    normalization,
  });

/** A network that onnxruntime runs. */
const onnxModel = () =>
  OnnxModel.load(join(__dirname, "../../reference/onnx/any-size.onnx"), {
    input: { size: 64, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] },
    threads: 1,
  });

const photos = (count) => ({ data: Buffer.alloc(count * 3 * 64 * 64, 77), shape: [count, 3, 64, 64] });

/** Each calls `onBegin` when it is under way: after its first batch, or its first load of the file. A step takes some tens of milliseconds. */
exports.jobs = {
  async fit(onBegin) {
    const model = await network({ imageSize: 16, width: 0.25 });
    await model.fit(data(512, 16), { epochs: 1000, batchSize: 64, onBatch: onBegin });
  },
  async extract(onBegin) {
    const model = await network({ imageSize: 16, width: 0.25 });
    const images = data(4096, 16);
    for (let i = 0; i < 1000; i++) {
      const { features, logits } = await model.extract(images, { batchSize: 64, onProgress: onBegin });
      features.dispose();
      logits.dispose();
    }
  },
  async onnx(onBegin) {
    const model = await onnxModel();
    const images = photos(512);
    for (let i = 0; i < 1000; i++) {
      const { features, logits } = await model.extract(images, { batchSize: 32, onProgress: onBegin });
      features.dispose();
      logits.dispose();
    }
  },
  async load(onBegin, file) {
    for (let i = 0; i < 10_000; i++) {
      (await ResNet.load(file)).dispose();
      onBegin();
    }
  },
};

exports.network = network;
exports.data = data;
exports.onnxModel = onnxModel;
exports.photos = photos;

/** Two threads only get in each other's way on such a network. */
exports.useOneThread = () => device.setThreads(1);
