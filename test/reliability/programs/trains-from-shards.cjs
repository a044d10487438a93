// trains-from-shards.cjs SHARDS CHECKPOINT EPOCHS: trains on tar shards, with a checkpoint every few batches; resumes what is there.
const { ResNet, device, sources } = require("../../../dist");

const [shards, checkpoint, epochs] = process.argv.slice(2);

async function main() {
  await device.setThreads(1);
  const model = await ResNet.create({ numClasses: 3, inChannels: 3, imageSize: 12, width: 0.0625, seed: 3, normalization: half });
  const train = sources.tar(shards, { shuffleBuffer: 16 });
  console.log("ready");
  await model.fit(train, {
    ...{ epochs: Number(epochs), batchSize: 8, learningRate: 0.02, seed: 5, checkpoint, checkpointEvery: { batches: 2 }, resume: true },
    augmentation: { resizedCrop: true, horizontalFlip: true, colorJitter: { brightness: 0.3, hue: 0.1 } },
  });
  console.log("true");
}

const half = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
void main();
