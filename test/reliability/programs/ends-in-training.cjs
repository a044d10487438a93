// Starts a training run that would take minutes and ends as its argument says, some milliseconds after the first batch.
const { network, data } = require("./tiny-network.cjs");

const [how, after] = process.argv.slice(2);

// Registered before the library has any listener of its own; nothing after it is called.
if (how === "exit twice") process.on("exit", () => process.exit(9));

function end() {
  if (how === "stay") return; // until a signal comes
  console.log("ending");
  if (how === "throw") throw new Error("thrown on purpose");
  process.exit(7);
}

async function main() {
  const model = await network({ imageSize: 16, width: 0.25 });
  let started = false;
  const onBatch = () => {
    if (started) return;
    started = true;
    console.log("ready");
    setTimeout(end, Number(after));
  };
  await model.fit(data(512, 16), { epochs: 1000, batchSize: 64, onBatch });
  console.log("finished");
}

main();
