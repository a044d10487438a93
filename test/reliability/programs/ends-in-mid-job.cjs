// Starts a training run, extractions or loads that would take minutes and ends as its argument says, some milliseconds after the first
// batch or the first load.
const { jobs } = require("./tiny-network.cjs");

const [job, how, after, file] = process.argv.slice(2);

// Registered before the library has any listener of its own; nothing after it is called.
if (how === "exit twice") process.on("exit", () => process.exit(9));

function end() {
  if (how === "stay") return; // until a signal comes
  console.log("ending");
  if (how === "throw") throw new Error("thrown on purpose");
  process.exit(7);
}

async function main() {
  let begun = false;
  const onBegin = () => {
    if (begun) return;
    begun = true;
    console.log("ready");
    setTimeout(end, Number(after));
  };
  await jobs[job](onBegin, file);
  console.log("finished");
}

main();
