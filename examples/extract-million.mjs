// Features of any number of images to .npy files, in memory that does not grow: a source that makes images as they are asked for (put your own
// database, bucket or video in its place), extractStream, which reads one chunk ahead and no more, and a sink that writes rows as they come. A slow
// disk slows the source down; nothing piles up. The readout shows resident memory all along.
//
//   node examples/extract-million.mjs [--count 1000000] [--weights network.safetensors] [--out features.npy] [--device cuda]

import { Command } from "commander";
import { files, ResNet } from "libtorch-ood";
import { wholeNumber } from "./server/whole-number.mjs";

const options = new Command("extract-million")
  .description("Extract features of many images to a .npy file, in bounded memory.")
  .option("--count <n>", "images", wholeNumber(1), 1_000_000)
  .option("--chunk <n>", "images in memory at a time (two chunks are)", wholeNumber(1), 1024)
  .option("--weights <file>", "a trained network of 28×28 grey images; default: one with random weights")
  .option("--width <factor>", "of the network with random weights", Number, 0.125)
  .option("--out <file>", "the .npy file to write, readable by numpy.load", "features.npy")
  .option("--device <name>", "cpu, cuda or cuda:N", "cpu")
  .parse()
  .opts();

const model = options.weights
  ? await ResNet.load(options.weights, { device: options.device })
  : await ResNet.create({
      numClasses: 10,
      inChannels: 1,
      imageSize: 28,
      width: options.width,
      seed: 1,
      device: options.device,
      normalization: { mean: [0.1307], std: [0.3081] },
    });

const controller = new AbortController();
process.once("SIGINT", () => controller.abort());

const writer = await files.NpyWriter.open(options.out, "float32", [model.featureDim]);
const start = performance.now();
const samples = [];
let printed = 0;
try {
  await model.extractStream(
    images(options.count, options.chunk),
    async ({ features, offset }) => {
      await writer.write(features.toArray()); // back-pressure: the next chunk is asked for when this one is on its way to the disk
      const done = offset + features.shape[0];
      samples.push(process.memoryUsage.rss() / 2 ** 20);
      if (performance.now() - printed < 1000 && done < options.count) return;
      printed = performance.now();
      const speed = done / ((printed - start) / 1000);
      console.log(`${done} of ${options.count} images, ${speed.toFixed(0)} images/s, ${samples.at(-1).toFixed(0)} MiB resident`);
    },
    { precision: "auto", signal: controller.signal },
  );
  await writer.commit(); // only now is there a file of this name, with the number of rows in its header
} catch (error) {
  await writer.discard();
  if (error.code !== "ERR_ABORTED") throw error;
  console.log("interrupted: nothing was written");
  process.exit(130);
}
model.dispose();

// The first quarter fills caches and the heap of JavaScript; from then on nothing may be added.
const quarter = Math.ceil(samples.length / 4);
const [early, late] = [Math.max(...samples.slice(quarter - 1, 2 * quarter)), Math.max(...samples.slice(-quarter))];
console.log(`${options.out}: float32 [${writer.rows}, ${writer.rowShape[0]}]`);
console.log(`at most ${early.toFixed(0)} MiB resident in the second quarter, ${late.toFixed(0)} MiB in the last`);

/** Chunks of images, made when they are asked for: stripes, of a width and place that the number of the image gives. One buffer serves all chunks. */
async function* images(count, chunk) {
  const data = new Uint8Array(chunk * 784);
  for (let first = 0; first < count; first += chunk) {
    const rows = Math.min(chunk, count - first);
    for (let i = 0; i < rows; i++) {
      const stripe = 2 + ((first + i) % 9);
      const place = (first + i) % 28;
      for (let pixel = 0; pixel < 784; pixel++) data[784 * i + pixel] = ((pixel % 28) + place) % (2 * stripe) < stripe ? 220 : 10;
    }
    yield { data: data.subarray(0, rows * 784), shape: [rows, 1, 28, 28] };
  }
}
