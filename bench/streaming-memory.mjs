// Memory of ClassStatistics over 10 million rows that are made piece by piece and never held: resident memory must not grow.
//
//   node bench/streaming-memory.mjs [--rows 10000000] [--dimensions 32] [--classes 10] [--scatter full] [--piece 50000]

import { parseArgs } from "node:util";
import { ClassStatistics, GaussianMixture, Tensor } from "libtorch-ood";

const { values } = parseArgs({
  options: {
    rows: { type: "string", default: "10000000" },
    dimensions: { type: "string", default: "32" },
    classes: { type: "string", default: "10" },
    scatter: { type: "string", default: "full" },
    piece: { type: "string", default: "50000" },
  },
});
const [total, dimensions, classes] = [Number(values.rows), Number(values.dimensions), Number(values.classes)];
const pieceRows = Number(values.piece);
const megabytes = () => process.memoryUsage().rss / 2 ** 20;

const statistics = new ClassStatistics({ numClasses: classes, featureDim: dimensions, scatter: values.scatter });
const features = new Float32Array(pieceRows * dimensions);
const labels = new Int32Array(pieceRows);
const start = performance.now();
const samples = [];
let [word, sum, done] = [1, 0, 0];
while (done < total) {
  const rows = Math.min(pieceRows, total - done);
  for (let i = 0; i < rows; i++) labels[i] = (done + i) % classes;
  for (let i = 0; i < rows * dimensions; i++) {
    word = (Math.imul(word, 1664525) + 1013904223) | 0; // Numerical Recipes' generator: fast, and random enough to sum
    features[i] = word * 2 ** -31 + labels[(i / dimensions) | 0];
    sum += features[i];
  }
  const batch = Tensor.from(features.subarray(0, rows * dimensions), [rows, dimensions]);
  await statistics.update(batch, labels.subarray(0, rows));
  batch.dispose();
  done += rows;
  samples.push(megabytes());
}
const seconds = (performance.now() - start) / 1000;

// The numbers are right, too: counts, and the grand mean to the rounding of a running sum.
const counts = await statistics.counts();
const means = (await statistics.means()).toArray();
const grand = means.reduce((whole, mean, i) => whole + mean * counts[Math.floor(i / dimensions)], 0);
if (counts.reduce((a, b) => a + b) !== total || Math.abs(grand / sum - 1) > 1e-9) throw new Error(`wrong sums: ${grand} and ${sum}`);
await GaussianMixture.fromStatistics(statistics, {
  covariance: values.scatter === "pooled" ? "tied" : values.scatter === "diagonal" ? "diagonal" : "full",
});

// The first quarter fills caches and the heap of JavaScript; from then on nothing may be added.
const quarter = Math.ceil(samples.length / 4);
const [early, late] = [Math.max(...samples.slice(quarter, 2 * quarter)), Math.max(...samples.slice(-quarter))];
const held = (total * dimensions * 4) / 2 ** 20;
console.log(
  `${total.toLocaleString("en")} rows of ${dimensions} in ${seconds.toFixed(1)} s (${((total * dimensions * 4) / 1e6 / seconds).toFixed(0)} MB/s, making them included)\n` +
    `resident memory at most ${early.toFixed(0)} MB in the second quarter, ${late.toFixed(0)} MB in the last; the rows themselves would take ${held.toFixed(0)} MB`,
);
if (late > early + 32) {
  console.error(`memory grew by ${(late - early).toFixed(0)} MB`);
  process.exitCode = 1;
}
