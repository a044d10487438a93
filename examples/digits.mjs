// What the examples that learn digits share: images to learn and to be shown, a small network, its training and its features, with progress bars.

import { fileURLToPath } from "node:url";
import cliProgress from "cli-progress";
import { datasets, device, ResNet } from "libtorch-ood";

/** 6,000 digits to train on, 1,000 to test, and 1,000 clothes, which no network here has ever seen. */
export async function loadImages() {
  const directory = fileURLToPath(new URL("data", import.meta.url));
  const { train, test } = await datasets.mnist(directory);
  const { test: clothes } = await datasets.fashionMnist(directory, { splits: ["test"] });
  return { train, test, clothes };
}

/** One line on what computes. */
export function machine(where) {
  const { libtorch, cpuCapability, threads, bfloat16 } = device.info();
  const precision = bfloat16 || where !== "cpu" ? "bfloat16" : "float32"; // what "auto" below comes to
  return `libtorch ${libtorch}, ${where === "cpu" ? `CPU (${cpuCapability}, ${threads} threads)` : where}, ${precision} convolutions`;
}

/** A ResNet18 for 28×28 grey images, trained on `images`; the learning rate drops before the last epoch. */
export async function trainNetwork(images, { device: where, epochs, seed, l2 = true }) {
  const model = await ResNet.create({ depth: 18, numClasses: 10, inChannels: 1, imageSize: 28, l2Normalize: l2, seed, device: where });
  await withBar("training  ", epochs * images.length, async (bar) => {
    await model.fit(images, {
      epochs,
      batchSize: 64,
      milestones: [Math.max(1, epochs - 1)],
      precision: "auto",
      seed,
      onBatch: ({ epoch, batch, batches, loss, imagesPerSecond }) =>
        bar.update(Math.min(((epoch - 1) * batches + batch) * 64, epoch * images.length), {
          note: `epoch ${epoch}/${epochs}, batch ${batch}/${batches}, loss ${loss.toFixed(3)}, ${imagesPerSecond.toFixed(0)} images/s`,
        }),
    });
  });
  return model;
}

/** `{ features, logits, labels }` of each set of images, or other `outputs`. */
export async function extractAll(model, sets, { outputs = ["features", "logits"] } = {}) {
  const total = sets.reduce((sum, { length }) => sum + length, 0);
  return withBar("extracting", total, async (bar) => {
    const results = [];
    let before = 0;
    for (const images of sets) {
      const onProgress = (done) => bar.update(before + done, { note: "" });
      results.push(await model.extract(images, { outputs, precision: "auto", onProgress }));
      before += images.length;
    }
    return results;
  });
}

/** A Tensor as `metrics` takes matrices. */
export function matrix(tensor) {
  return { data: tensor.toArray(), shape: tensor.shape };
}

async function withBar(name, total, work) {
  const bar = new cliProgress.SingleBar(
    {
      format: `${name} {bar} {percentage}% | {note} | {eta_formatted} left`,
      noTTYOutput: true,
      notTTYSchedule: 10_000,
      etaBuffer: 50,
      hideCursor: true,
    },
    cliProgress.Presets.shades_classic,
  );
  bar.start(total, 0, { note: "" });
  try {
    const result = await work(bar);
    bar.update(total);
    return result;
  } finally {
    bar.stop();
  }
}
