// Starts training and keeps nothing else alive: the process is to last until the promise is settled.
const { network, data, useOneThread } = require("./tiny-network.cjs");

async function main() {
  await useOneThread();
  const model = await network();
  process.on("exit", (code) => console.log(`exit ${code}`));
  model.fit(data(128), { epochs: 2, batchSize: 32 }).then((history) => console.log(`trained ${history.length} epochs`));
  console.log("started");
}

main();
