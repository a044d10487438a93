// Computes something that takes some hundred MiB, then does nothing, and prints the resident memory, in MiB: before, while
// memory is kept for the next call, and when the process has been idle for longer than that.
const { linalg } = require("../../../dist/index.js");

const resident = () => process.memoryUsage().rss / 2 ** 20;
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function main() {
  const side = 2048;
  const data = Float64Array.from({ length: side * side }, (_, i) => ((i * 2654435761) % 4294967296) / 2 ** 32);
  const matrix = { data, shape: [side, side] };
  (await linalg.covariance({ data: data.subarray(0, side), shape: [2, side / 2] })).dispose(); // what is loaded once
  const before = resident();
  (await linalg.svdvals(matrix)).dispose();
  const kept = resident();
  await pause(8000);
  console.log(JSON.stringify({ before, kept, idle: resident() }));
}

main();
