// Runs the small experiment into a folder. A second argument ends it by force at that operation on a file, a write half done; without, the
// number of operations is printed at the end.
const fs = require("node:fs/promises");
const library = require("../../../dist");
const experiments = require("../../../dist/experiment");
const { readers, smallExperiment } = require("./tiny-data.cjs");

const [out, fatal = "Infinity"] = process.argv.slice(2);
let operations = 0;

/** True at the fatal operation, just before which the process ends. */
function counted(before = () => {}) {
  operations++;
  if (operations !== Number(fatal)) return;
  before();
  process.kill(process.pid, "SIGKILL");
  for (;;); // the signal comes at the next turn of the kernel
}

function writeHalf(file, bytes, offset = 0, length = bytes.length) {
  require("node:fs").writeSync(file, bytes, offset, Math.floor(length / 2));
}

async function countOperations() {
  const handle = await fs.open(__filename);
  const prototype = Object.getPrototypeOf(handle);
  await handle.close();
  for (const name of ["write", "sync", "truncate"]) {
    const original = prototype[name];
    prototype[name] = function (...args) {
      counted(() => name === "write" && writeHalf(this.fd, ...args));
      return original.apply(this, args);
    };
  }
  for (const name of ["rename", "link", "unlink", "rm"]) {
    const original = fs[name];
    fs[name] = (...args) => {
      counted();
      return original(...args);
    };
  }
}

async function main() {
  await countOperations();
  await library.device.setThreads(1);
  const onProgress = (event) => {
    if (event.type === "planned") console.log("ready");
    if (event.type === "started") console.log(`started ${event.run.id}`);
  };
  const { finished } = await experiments.run(smallExperiment, { data: "", out, readers: readers(library.Dataset), onProgress });
  console.log(JSON.stringify({ finished: finished.length, operations }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
