// Trains or extracts and prints how late a 5 ms timer of this thread came meanwhile.
const { monitorEventLoopDelay } = require("node:perf_hooks");
const { network, data } = require("./tiny-network.cjs");

async function main(task) {
  const model = await network({ imageSize: 16, width: 0.25 });
  const images = data(512, 16);
  let ticks = 0;
  const timer = setInterval(() => ticks++, 5);
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  const start = performance.now();
  while (performance.now() - start < 2000) {
    if (task === "fit") await model.fit(images, { epochs: 1, batchSize: 128 });
    else await model.extract(images, { batchSize: 128 });
  }
  const milliseconds = performance.now() - start;
  delay.disable();
  clearInterval(timer);
  console.log(JSON.stringify({ ticks, milliseconds, median: delay.percentile(50) / 1e6, p99: delay.percentile(99) / 1e6 }));
}

main(process.argv[2]);
