// Starts one call and keeps nothing else alive: the process is to last until its promise is settled.
const { ResNet } = require("../../../dist/index.js");
const { network, data, onnxModel, photos, useOneThread } = require("./tiny-network.cjs");

const calls = {
  async fit() {
    const model = await network();
    return () => model.fit(data(128), { epochs: 2, batchSize: 32 }).then((history) => `trained ${history.length} epochs`);
  },
  async extract() {
    const model = await network();
    return () => model.extract(data(128)).then(({ features }) => `extracted ${features.shape[0]} rows`);
  },
  async onnx() {
    const model = await onnxModel();
    return () => model.extract(photos(128)).then(({ features }) => `extracted ${features.shape[0]} rows of onnxruntime`);
  },
  async load(file) {
    return () => ResNet.load(file).then((model) => `loaded ResNet${model.architecture.depth}`);
  },
};

async function main(call, file) {
  await useOneThread();
  const start = await calls[call](file);
  process.on("exit", (code) => console.log(`exit ${code}`));
  start().then((done) => console.log(done));
  console.log("started");
}

main(...process.argv.slice(2));
