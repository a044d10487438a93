// From a folder of your own images, one folder per class, to a detector file: trains a network on nine tenths of them, calibrates the detector on
// the rest, and says of the images in other folders whether they are anything it knows.
//
//   node examples/train-on-a-folder.mjs photos --out photos.safetensors [--size 64] [--epochs 30] [--ood other-photos] [--device cuda]
//
// photos/cat/1.jpg, photos/cat/2.png, photos/dog/a.webp, … Needs sharp: npm install sharp

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { datasets, Detector, ResNet } from "libtorch-ood";
import { wholeNumber } from "./server/whole-number.mjs";

const program = new Command("train-on-a-folder")
  .description("Train on a folder of images, one folder per class, and write a detector.")
  .argument("<folder>", "one folder per class")
  .requiredOption("--out <file>", "the detector to write, .safetensors")
  .option("--size <pixels>", "images are resized to this height and width", wholeNumber(8), 32)
  .option("--epochs <n>", "passes over the images; the learning rate drops after 2/3 and 5/6 of them", wholeNumber(1), 30)
  .option("--width <factor>", "channels of the network, 1 for the published ResNet18", Number, 1)
  .option("--batch-size <n>", "images per step", wholeNumber(1), 64)
  .option("--false-alarm-rate <share>", "of in-distribution images that may be flagged", Number, 0.05)
  .option("--ood <folder>", "images of other things, to see what the detector says of them")
  .option("--device <name>", "cpu, cuda or cuda:N", "cpu")
  .option("--seed <n>", "of weights, order and the held-out tenth", wholeNumber(0), 1)
  .parse();
const [folder] = program.args;
const { out, size, epochs, width, batchSize, falseAlarmRate, ood, device, seed } = program.opts();

const data = await datasets.imageFolder(folder, { imageSize: size });
const { train, validation: heldOut } = data.split(0.1, seed); // the held-out tenth calibrates the detector: it must not be trained on
console.log(`${data.length} images of ${data.classNames.length} classes: ${data.classNames.join(", ")}`);

const model = await ResNet.create({
  numClasses: data.classNames.length,
  inChannels: 3,
  imageSize: size,
  width,
  seed,
  device,
  normalization: datasets.computeNormalization(train),
});
await model.fit(train, {
  epochs,
  milestones: [Math.round((2 * epochs) / 3), Math.round((5 * epochs) / 6)],
  batchSize,
  augmentation: "crop-flip",
  precision: "auto", // bfloat16 where the processor has units for it, else float32
  seed,
  validation: heldOut, // its accuracy is shown, and nothing is chosen by it
  onEpoch: ({ epoch, loss, validationAccuracy, seconds }) =>
    console.log(
      `epoch ${epoch}/${epochs}, loss ${loss.toFixed(3)}, held-out accuracy ${percent(validationAccuracy)}, ${seconds.toFixed(1)} s`,
    ),
});

// Few images per class and many features: shrunk covariances (docs/guide/choosing-a-score.md).
const detector = await Detector.fit(model, train, {
  calibration: heldOut,
  falseAlarmRate,
  precision: "auto",
  scoreOptions: { covariance: "ledoit-wolf" },
});
await detector.save(out);
console.log(`${out}: flags at most ${percent(falseAlarmRate)} of in-distribution images, calibrated on ${heldOut.length}`);

if (ood !== undefined) {
  const files = await imagesIn(ood);
  const answers = await detector.predict(files);
  const flagged = answers.filter(({ outOfDistribution }) => outOfDistribution).length;
  console.log(`${ood}: ${flagged} of ${files.length} images flagged`);
  answers.slice(0, 5).forEach(({ className, confidence, pValue, outOfDistribution }, i) => {
    const verdict = outOfDistribution ? "OUT OF DISTRIBUTION" : `${className} (${percent(confidence)}), in distribution`;
    console.log(`  ${files[i]}: ${verdict}, p-value ${pValue.toFixed(3)}`);
  });
}
detector.dispose();
model.dispose();

async function imagesIn(directory) {
  const files = [];
  for (const name of await readdir(directory, { recursive: true })) {
    if (/\.(png|jpe?g|webp)$/i.test(name)) files.push(join(directory, name));
  }
  return files.sort();
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}
