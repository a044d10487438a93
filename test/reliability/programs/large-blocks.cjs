// Computes with tensors of hundreds of MiB and prints the resident memory in MiB, before, with them and after dispose(); or, as `buffer`, makes an
// ArrayBuffer of that size, whose memory comes from the host's malloc.
const { ClassStatistics, device, linalg } = require("../../../dist/index.js");

const resident = () => process.memoryUsage.rss() / 2 ** 20;
const featureDim = 2 ** 20;

async function statistics() {
  const statistics = new ClassStatistics({ numClasses: 40, featureDim, scatter: "diagonal" }); // means and scatters of 320 MiB each
  const row = { data: new Float64Array(featureDim).fill(2), shape: [1, featureDim] };
  for (const label of [3, 3, 5]) await statistics.update(row, [label]);
  return statistics;
}

async function main() {
  await device.setThreads(2);
  (await linalg.covariance({ data: new Float64Array(2048).map((_, i) => i % 7), shape: [2, 1024] })).dispose(); // what is loaded once
  const before = resident();
  const held = await statistics();
  const means = await held.means();
  const counts = await held.counts();
  const row = means.slice(3, 4); // in the memory of the means
  const values = [means.shape, Array.from(row.toArray().subarray(0, 3)), counts[3], counts[5]];
  const holding = resident();
  row.dispose();
  means.dispose();
  held.dispose();
  const released = resident();
  await new Promise((resolve) => setTimeout(resolve, 6500)); // and what the compute thread keeps for its next call
  console.log(JSON.stringify({ before, holding, released, idle: resident(), values }));
}

if (process.argv[2] === "buffer") console.log(JSON.stringify(new ArrayBuffer(320 * 2 ** 20).byteLength));
else main();
