// Trains with a checkpoint where the system allows no file as large as one, which stands for a full disk, and prints the
// error: its code and that of the system.
const { spawnSync } = require("node:child_process");
const { network, data, useOneThread } = require("./tiny-network.cjs");

async function main(checkpoint) {
  await useOneThread();
  const model = await network();
  try {
    await model.fit(data(48), { epochs: 1000, batchSize: 16, checkpoint });
  } catch (error) {
    console.log(error.code, error.cause?.code);
  }
}

const [path, limited] = process.argv.slice(2);
if (limited) {
  main(path);
} else {
  const script = 'ulimit -f 64; exec "$@"';
  const { status } = spawnSync("sh", ["-c", script, "sh", process.execPath, __filename, path, "limited"], { stdio: "inherit" });
  process.exitCode = status ?? 1;
}
