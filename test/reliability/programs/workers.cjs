// Worker threads that use the addon beside the main thread, each ended in one of several ways; prints what the main
// thread could still compute.
const { once } = require("node:events");
const { isMainThread, parentPort, Worker, workerData } = require("node:worker_threads");
const { network, data, jobs, useOneThread } = require("./tiny-network.cjs");

const tasks = {
  ...jobs,
  async compute() {
    const model = await network({ seed: 5 });
    const { features } = await model.extract(data(32));
    parentPort.postMessage([...features.toArray()]);
  },
  async exit() {
    const model = await network();
    const onBatch = () => process.exit(3);
    await model.fit(data(1024), { epochs: 100000, batchSize: 16, onBatch });
  },
  // Ends with a network, tensors and an extraction's result that nobody disposed of.
  async leave() {
    const model = await network();
    globalThis.kept = [model, await model.extract(data(32)), await model.weights()];
  },
  // Ends while calls are pending whose promises nobody awaits: they keep the worker alive until they are settled.
  async pending() {
    const model = await network();
    model.fit(data(64), { epochs: 3, batchSize: 32 }).then((history) => parentPort.postMessage(history.length));
  },
};

const start = (task, file) => new Worker(__filename, { workerData: { task, file } });
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function probe(model, images) {
  const { features, logits } = await model.extract(images);
  const values = [...features.toArray()];
  features.dispose();
  logits.dispose();
  return values;
}

const modes = {
  // Main thread and worker compute at the same time and get the same.
  async beside(model, images) {
    const worker = start("compute");
    const ended = once(worker, "exit").then(([code]) => code);
    const answer = once(worker, "message").then(([values]) => values);
    const own = [];
    let waiting = true;
    answer.finally(() => (waiting = false));
    while (waiting) own.push(await probe(model, images));
    const values = await answer;
    return { code: await ended, rounds: own.length, equal: own.every((row) => row.every((value, i) => value === values[i])) };
  },
  async four(model, images) {
    const workers = Array.from({ length: 4 }, () => start("compute"));
    const ends = workers.map((worker) => once(worker, "exit").then(([code]) => code));
    const answers = await Promise.all(workers.map((worker) => once(worker, "message").then(([values]) => values)));
    const own = await probe(model, images);
    return { codes: await Promise.all(ends), equal: answers.every((values) => values.every((value, i) => value === own[i])) };
  },
  // So many workers at a time, each ended some milliseconds after its job has begun; after each such wave the main thread computes.
  async terminate(model, images, task, times, atOnce, file) {
    const expected = await probe(model, images);
    const result = { terminated: 0, waves: 0, still: 0 };
    for (let i = 0; i < times; i += Number(atOnce)) {
      const workers = Array.from({ length: Math.min(atOnce, times - i) }, () => start(task, file));
      const codes = await Promise.all(
        workers.map(async (worker, k) => {
          await once(worker, "message");
          await pause(((i + k) * 7) % 40);
          return worker.terminate();
        }),
      );
      result.terminated += codes.filter((code) => code === 1).length;
      result.waves++;
      const values = await probe(model, images);
      if (values.every((value, k) => value === expected[k])) result.still++;
    }
    return result;
  },
  async natural(model, images, task) {
    const worker = start(task);
    const messages = [];
    worker.on("message", (message) => messages.push(message));
    const [code] = await once(worker, "exit");
    return { code, messages, values: (await probe(model, images)).length };
  },
};

// Ends the process from the main thread while a worker computes; the main thread has not loaded the addon.
async function exit(task, after) {
  await once(start(task), "message");
  setTimeout(() => {
    console.log("ending");
    process.exit(5);
  }, Number(after));
}

async function main([mode, ...args]) {
  if (mode === "exit") return exit(...args);
  await useOneThread();
  const model = await network({ seed: 5 });
  console.log(JSON.stringify(await modes[mode](model, data(32), ...args)));
}

if (isMainThread) main(process.argv.slice(2));
else
  tasks[workerData.task](
    onlyOnce(() => parentPort.postMessage("ready")),
    workerData.file,
  );

function onlyOnce(action) {
  let done = false;
  return () => {
    if (!done) action();
    done = true;
  };
}
