// Takes results of 56 MiB and disposes of them, one after the other, while the compute thread keeps some hundred MiB of
// its own; prints the page faults of twenty such calls: at least 28 each where the system gives the result's memory anew.
const { linalg, Tensor } = require("../../../dist/index.js");

const pageFaults = () => process.resourceUsage().minorPageFault;

async function main() {
  const columns = 2700;
  const rows = Tensor.from(
    Float64Array.from({ length: 3 * columns }, (_, i) => Math.sin(i)),
    [3, columns],
  );
  const call = async () => (await linalg.covariance(rows)).dispose();
  for (let i = 0; i < 5; i++) await call();
  const before = pageFaults();
  for (let i = 0; i < 20; i++) await call();
  console.log(JSON.stringify({ faults: pageFaults() - before }));
}

main();
