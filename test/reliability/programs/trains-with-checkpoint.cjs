// Trains with a checkpoint after every epoch, going on from it where it exists.
const { network, data, useOneThread } = require("./tiny-network.cjs");

async function main(checkpoint, epochs) {
  await useOneThread();
  const model = await network({ seed: 3 });
  let first = true;
  const onEpoch = () => {
    if (first) console.log("ready");
    first = false;
  };
  const recipe = { batchSize: 16, learningRate: 0.05, seed: 9, augmentation: { cropPadding: 1, horizontalFlip: true } };
  const history = await model.fit(data(48), { ...recipe, epochs: Number(epochs), checkpoint, resume: true, onEpoch });
  console.log(JSON.stringify({ epochs: history.length }));
}

main(...process.argv.slice(2));
