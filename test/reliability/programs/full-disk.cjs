// Saves one file of each kind where the disk has no room for it, over an older file, and prints for each: the error's code, that of the system,
// whether the old file is as it was, and what else the folder holds. The disk is either a folder in which no file may grow beyond some
// kilobytes ("limit", which any process may impose on itself) or a file system of one megabyte that has been filled ("tmpfs", which needs
// a mount namespace of its own).
const { spawnSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { ClassStatistics, Detector, files, GaussianMixture } = require("../../../dist/index.js");
const { network, data, useOneThread } = require("./tiny-network.cjs");

const wrappers = {
  limit: () => ["sh", "-c", 'ulimit -f 16; exec "$@"', "sh"],
  tmpfs: (folder) => {
    const script = 'mount -t tmpfs -o size=1m none "$0" || exit 77; exec "$@"';
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, folder];
  },
};

async function savers() {
  const [rows, size] = [300, 96];
  const features = { data: Float64Array.from({ length: rows * size }, (_, i) => Math.sin(i * i)), shape: [rows, size] };
  const labels = Int32Array.from({ length: rows }, (_, i) => i % 3);
  const model = await network();
  const statistics = new ClassStatistics({ numClasses: 3, featureDim: size });
  await statistics.update(features, labels);
  const mixture = await GaussianMixture.fit(features, labels);
  const detector = await Detector.fit(model, data(300), {
    calibration: data(19),
    allowOverlap: true,
    scoreOptions: { covariance: "tied" },
  });
  return {
    network: (file) => model.save(file),
    checkpoint: (file) => model.fit(data(48), { epochs: 1000, batchSize: 16, checkpoint: file }),
    statistics: (file) => statistics.save(file),
    mixture: (file) => mixture.save(file),
    detector: (file) => detector.save(file),
    async npy(file) {
      const writer = await files.NpyWriter.open(file, "float64", [size]);
      try {
        await writer.write(features.data);
        await writer.commit();
      } finally {
        await writer.discard();
      }
    },
  };
}

// Leaves 16 KiB, so that a write begins well and fails in its midst.
function fill(file) {
  const disk = fs.openSync(file, "w");
  const block = Buffer.alloc(16384, 1);
  let position = 0;
  try {
    for (;;) position += fs.writeSync(disk, block, 0, block.length, position);
  } catch (error) {
    if (error.code !== "ENOSPC") throw error;
  }
  fs.ftruncateSync(disk, position - block.length);
  fs.closeSync(disk);
}

async function inside(how, folder) {
  await useOneThread();
  const all = await savers();
  const old = Buffer.from("what the file held before".repeat(40));
  for (const name of Object.keys(all)) fs.writeFileSync(path.join(folder, name), old);
  if (how === "tmpfs") fill(path.join(folder, "filler"));
  const names = fs.readdirSync(folder).sort().join();
  const found = {};
  for (const [name, save] of Object.entries(all)) {
    const file = path.join(folder, name);
    const error = await save(file).then(
      () => ({ code: "no error" }),
      (reason) => reason,
    );
    const whole = fs.readFileSync(file).equals(old) && fs.readdirSync(folder).sort().join() === names;
    found[name] = `${error.code} ${error.cause?.code} with ${whole ? "the old file whole" : "another old file or folder"}`;
  }
  console.log(JSON.stringify(found));
}

const [how, folder, isInside] = process.argv.slice(2);
if (isInside) {
  inside(how, folder);
} else {
  const [command, ...args] = wrappers[how](folder);
  const { status } = spawnSync(command, [...args, process.execPath, __filename, how, folder, "inside"], { stdio: "inherit" });
  process.exitCode = status ?? 77;
}
