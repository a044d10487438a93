// Node's cluster: four processes that share a port answer each request by an extraction. One of them is killed on the way and replaced;
// prints what the clients got and how the processes ended.
const cluster = require("node:cluster");
const { once } = require("node:events");
const http = require("node:http");
const { network, data, useOneThread } = require("./tiny-network.cjs");

async function serve() {
  await useOneThread();
  const model = await network({ seed: 5 });
  const server = http.createServer(async (request, response) => {
    const { features, logits } = await model.extract(data(16));
    response.setHeader("connection", "close"); // so that the primary deals out every request
    response.end(JSON.stringify({ id: cluster.worker.id, values: [...features.toArray()] }));
    features.dispose();
    logits.dispose();
  });
  server.listen(0, "127.0.0.1");
}

/** undefined where the process that was to answer died meanwhile; of a connection that was handed to it as it died nobody ever hears. */
async function ask(port) {
  try {
    const response = await fetch(`http://127.0.0.1:${port}`, { signal: AbortSignal.timeout(10_000) });
    return await response.json();
  } catch {
    return undefined;
  }
}

async function manage(requests) {
  const endings = [];
  cluster.on("exit", (worker, code, signal) => endings.push(signal ?? code));
  const start = async () => {
    const worker = cluster.fork();
    const [{ port }] = await once(worker, "listening");
    return { worker, port };
  };
  const workers = await Promise.all(Array.from({ length: 4 }, start));
  const { port } = workers[0];
  const answers = [];
  const ask8 = async () => answers.push(...(await Promise.all(Array.from({ length: 8 }, () => ask(port)))));
  while (answers.length < requests / 2) await ask8();
  const before = answers.splice(0);
  workers[0].worker.process.kill("SIGKILL");
  await Promise.all([once(cluster, "exit"), start(), ask8()]);
  const during = answers.splice(0);
  while (answers.length < requests / 2) await ask8();

  const ended = new Promise((resolve) => cluster.on("exit", () => endings.length === 5 && resolve()));
  cluster.disconnect();
  await ended;
  const [first] = before;
  const right = (answer) => answer !== undefined && answer.values.every((value, i) => value === first.values[i]);
  console.log(
    JSON.stringify({
      answered: [...before, ...answers].filter(right).length,
      asked: before.length + answers.length,
      answeredDuringKill: during.filter(right).length,
      processes: [new Set(before.map(({ id }) => id)).size, new Set(answers.map(({ id }) => id)).size],
      endings,
    }),
  );
}

if (cluster.isPrimary) manage(Number(process.argv[2]));
else serve();
