// Trains, extracts, loads or copies for two seconds and prints, in milliseconds, how late a 5 ms timer of this thread came meanwhile.
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { monitorEventLoopDelay } = require("node:perf_hooks");
const { ResNet, Tensor } = require("../../../dist/index.js");
const { network, data } = require("./tiny-network.cjs");

async function main(task) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "event-loop-"));
  const model = await network({ imageSize: 16, width: task === "load" ? 1 : 0.25 });
  const images = data(512, 16);
  const file = path.join(folder, "network.safetensors"); // of 45 MB
  if (task === "load") await model.save(file);
  const numbers = task === "copy" ? new Float32Array(64 << 20) : undefined; // 256 MB
  const tasks = {
    fit: () => model.fit(images, { epochs: 1, batchSize: 128 }),
    extract: () => model.extract(images, { batchSize: 128 }),
    load: async () => (await ResNet.load(file)).dispose(),
    copy: async () => (await Tensor.fromAsync(numbers)).dispose(),
  };
  let ticks = 0;
  const timer = setInterval(() => ticks++, 5);
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  const start = performance.now();
  while (performance.now() - start < 2000) await tasks[task]();
  const milliseconds = performance.now() - start;
  delay.disable();
  clearInterval(timer);
  fs.rmSync(folder, { recursive: true });
  const [median, p99, max] = [delay.percentile(50), delay.percentile(99), delay.max].map((nanoseconds) => nanoseconds / 1e6);
  console.log(JSON.stringify({ ticks, milliseconds, median, p99, max }));
}

main(process.argv[2]);
