// Everything at once for as many seconds as are asked for: training, extraction, mixtures, other scores, detectors, files, aborts, wrong calls
// and workers, each over and over. Prints how often each was done, what went wrong, and memory and event-loop delay meanwhile.
const { once } = require("node:events");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { monitorEventLoopDelay } = require("node:perf_hooks");
const { isMainThread, parentPort, Worker } = require("node:worker_threads");
const { ClassStatistics, Detector, GaussianMixture, linalg, neuralCollapse, ResNet, scores } = require("../../../dist/index.js");
const { network, data, jobs, useOneThread } = require("./tiny-network.cjs");

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const [rows, size] = [288, 64];
const features = { data: Float64Array.from({ length: rows * size }, (_, i) => Math.sin(i * i)), shape: [rows, size] };
const labels = Int32Array.from({ length: rows }, (_, i) => i % 3);
const weight = { data: features.data.subarray(0, 3 * size), shape: [3, size] };
const logits = { data: features.data.subarray(0, 3 * rows), shape: [rows, 3] };

/** Fails unless the numbers are those of the first time, to the last bit. */
const first = new Map();
function expectSame(what, values) {
  const text = [...values].join();
  if ((first.get(what) ?? text) !== text) throw new Error(`${what}: other numbers than the first time`);
  first.set(what, text);
}

async function expectCode(code, call) {
  const found = await call().then(
    () => "no error",
    (error) => error.code,
  );
  if (found !== code) throw new Error(`expected ${code}, found ${found}`);
}

function take({ features, logits }) {
  const values = features.toArray();
  features.dispose();
  logits.dispose();
  return values;
}

async function loads(folder) {
  const images = data(64);
  const [trained, fixed] = [await network({ seed: 1 }), await network({ seed: 2 })];
  const detector = await Detector.fit(fixed, data(300), {
    calibration: data(19),
    allowOverlap: true,
    scoreOptions: { covariance: "tied" },
  });
  let round = 0;
  return {
    training: () => trained.fit(images, { epochs: 2, batchSize: 16, learningRate: 1e-3 }),
    extraction: async () => expectSame("extraction", take(await fixed.extract(images))),
    async mixture() {
      const mixture = await GaussianMixture.fit(features, labels);
      expectSame("mixture", await mixture.logDensity(features));
      mixture.dispose();
    },
    async "other scores"() {
      const near = await scores.fit("nearest-neighbours", { features }, { k: 5 });
      const vim = await scores.fit("vim", { features, logits, weight }, { dimension: 8 });
      expectSame("nearest neighbours", await near.score({ features }));
      expectSame("vim", await vim.score({ features, logits }));
      near.dispose();
      vim.dispose();
    },
    async "linear algebra"() {
      const covariance = await linalg.covariance(features);
      const values = await linalg.svdvals(covariance);
      expectSame("singular values", values.toArray());
      covariance.dispose();
      values.dispose();
      const { nc1 } = await neuralCollapse.measure({ features, labels, weight });
      expectSame("nc1", [nc1]);
    },
    async detector() {
      const answers = await detector.predict(images);
      expectSame(
        "p-values",
        answers.map(({ pValue }) => pValue),
      );
    },
    async files() {
      const file = path.join(folder, `detector-${round++ % 2}.safetensors`);
      await detector.save(file);
      const loaded = await Detector.load(file);
      expectSame(
        "p-values",
        (await loaded.predict(images)).map(({ pValue }) => pValue),
      );
      loaded.dispose();
      const statistics = new ClassStatistics({ numClasses: 3, featureDim: size });
      await statistics.update(features, labels);
      await statistics.save(path.join(folder, "statistics.safetensors"));
      statistics.dispose();
      (await ClassStatistics.load(path.join(folder, "statistics.safetensors"))).dispose();
    },
    async abort() {
      const model = await network();
      const controller = new AbortController();
      setTimeout(() => controller.abort(), round++ % 20);
      await expectCode("ERR_ABORTED", () => model.fit(images, { epochs: 100_000, batchSize: 16, signal: controller.signal }));
      model.dispose();
    },
    async "wrong calls"() {
      await expectCode("ERR_SHAPE", () => fixed.extract({ data: features.data, shape: features.shape }));
      await expectCode("ERR_CORRUPT_FILE", () => ResNet.load(__filename));
      await expectCode("ERR_IO", () => Detector.load(path.join(folder, "absent")));
      await pause(5);
    },
    async "worker that ends"() {
      const worker = new Worker(__filename, { argv: ["compute"] });
      const [[values], [code]] = await Promise.all([once(worker, "message"), once(worker, "exit")]);
      expectSame("worker's extraction", values);
      if (code !== 0) throw new Error(`worker: exit code ${code}`);
    },
    async "worker that is terminated"() {
      const worker = new Worker(__filename, { argv: [round++ % 2 ? "fit" : "extract"] });
      await once(worker, "message");
      await pause((round * 7) % 40);
      if ((await worker.terminate()) !== 1) throw new Error("a worker ended before it was terminated");
    },
  };
}

async function work(task) {
  if (task !== "compute") return jobs[task](onlyOnce(() => parentPort.postMessage("ready")));
  const model = await network({ seed: 2 });
  parentPort.postMessage(take(await model.extract(data(64))));
}

function onlyOnce(action) {
  let done = false;
  return () => {
    if (!done) action();
    done = true;
  };
}

async function main(seconds) {
  await useOneThread();
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "mixed-load-"));
  const done = {};
  const wrong = [];
  const memory = [];
  const delay = monitorEventLoopDelay({ resolution: 5 });
  const start = performance.now();
  const elapsed = () => (performance.now() - start) / 1000;
  const repeat = async ([name, load]) => {
    done[name] = 0;
    while (elapsed() < seconds && wrong.length === 0) {
      await load().then(
        () => done[name]++,
        (error) => wrong.push(`${name}: ${error.stack}`),
      );
    }
  };
  const all = Object.entries(await loads(folder));
  delay.enable();
  const sample = setInterval(() => memory.push(process.memoryUsage.rss() / 2 ** 20), (seconds * 1000) / 60);
  await Promise.all(all.map(repeat));
  clearInterval(sample);
  delay.disable();
  fs.rmSync(folder, { recursive: true });
  const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
  const part = (from, to) => median(memory.slice(Math.floor(memory.length * from), Math.ceil(memory.length * to)));
  const [p99, max] = [delay.percentile(99), delay.max].map((nanoseconds) => nanoseconds / 1e6);
  console.log(
    JSON.stringify({ done, wrong, rss: { first: part(0.1, 0.4), middle: part(0.4, 0.7), last: part(0.7, 1) }, delay: { p99, max } }),
  );
}

if (isMainThread) main(Number(process.argv[2]));
else work(process.argv[2]);
