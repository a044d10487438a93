// A training run that waits, after its first epoch, for a promise of onEpoch, and ends as the argument says.
const { isMainThread, parentPort, Worker, workerData } = require("node:worker_threads");
const { network, data, useOneThread } = require("./tiny-network.cjs");

const how = isMainThread ? process.argv[2] : workerData;

async function main() {
  await useOneThread();
  const model = await network();
  const controller = new AbortController();
  const never = new Promise(() => undefined);
  const waits = {
    exit: () => setTimeout(() => process.exit(7), 50) && never,
    nothing: () => never,
    timer: () => new Promise((resolve) => setTimeout(resolve, 50)),
    abort: () => setTimeout(() => controller.abort(), 50).unref() && new Promise((resolve) => setTimeout(resolve, 51)).then(() => never),
    async other() {
      const other = await network();
      other.fit(data(128), { epochs: 40, batchSize: 32 }).then((history) => console.log(`other trained ${history.length} epochs`));
      await never;
    },
    inWorker: () => {
      setInterval(() => undefined, 1000); // something else to do: it would end by itself
      parentPort.postMessage("waits");
      return never;
    },
  };
  const onEpoch = ({ epoch }) => {
    if (epoch > 1) return;
    if (isMainThread) console.log("waits");
    return waits[how]();
  };
  model.fit(data(64), { epochs: 3, batchSize: 32, onEpoch, signal: controller.signal }).then(
    (history) => console.log(`trained ${history.length} epochs`),
    (error) => console.log(error.code),
  );
}

function startWorker() {
  const worker = new Worker(__filename, { workerData: "inWorker" });
  worker.on("message", async (message) => {
    console.log(message);
    console.log(`terminated ${await worker.terminate()}`);
  });
}

if (how === "worker") startWorker();
else main();
