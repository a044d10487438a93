// From pretrained weights and a folder of your own images, one folder per class, to a detector file: gives the network a fresh last layer with L2
// normalisation before it, trains that fast and the layers before it slowly, and says of the images in other folders whether they are anything it knows.
//
//   node examples/fine-tune.mjs photos --weights resnet50.safetensors --out photos.safetensors [--epochs 5] [--ood other-photos] [--device cuda]
//
// Weights are those of a ResNet18 to ResNet152 of torchvision or timm as a .safetensors file. Without --weights the program first trains a small network
// on digits, so that it runs anywhere; for real use take weights of ImageNet. Needs sharp: npm install sharp

import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { datasets, Detector, ResNet } from "libtorch-ood";
import { wholeNumber } from "./server/whole-number.mjs";

const program = new Command("fine-tune")
  .description("Train pretrained weights on a folder of images, one folder per class, and write a detector.")
  .argument("<folder>", "one folder per class")
  .requiredOption("--out <file>", "the detector to write, .safetensors")
  .option("--weights <file>", "weights of a ResNet, .safetensors (default: a small network that is trained on digits first)")
  .option("--size <pixels>", "images are resized to this height and width (default 224, and 64 without --weights)", wholeNumber(8))
  .option("--epochs <n>", "passes over the images; the learning rate drops after 2/3 of them", wholeNumber(1), 6)
  .option("--batch-size <n>", "images per step", wholeNumber(1), 32)
  .option("--false-alarm-rate <share>", "of in-distribution images that may be flagged", Number, 0.05)
  .option("--ood <folder>", "images of other things, to see what the detector says of them")
  .option("--device <name>", "cpu, cuda or cuda:N", "cpu")
  .option("--seed <n>", "of the last layer, order and the held-out tenth", wholeNumber(0), 1)
  .parse();
const [folder] = program.args;
const { out, weights, epochs, batchSize, falseAlarmRate, ood, device, seed } = program.opts();
const size = program.opts().size ?? (weights === undefined ? 64 : 224);

const data = await datasets.imageFolder(folder, { imageSize: size });
const { train, validation: heldOut } = data.split(0.1, seed); // the held-out tenth calibrates the detector: it must not be trained on
console.log(`${data.length} images of ${data.classNames.length} classes: ${data.classNames.join(", ")}`);

const input = { ...datasets.preprocessings.imagenet, size, resizeTo: size }; // as imageFolder resizes
const pretrained = weights === undefined ? await trainedOnDigits() : await ResNet.load(weights, { input, device });
const { depth, stem } = pretrained.architecture;
console.log(`pretrained: ResNet${depth}, stem "${stem}", ${pretrained.featureDim} features, ${pretrained.numClasses} classes`);
const model = await pretrained.withHead(data.classNames, { l2Normalize: true, seed });
pretrained.dispose();

await model.fit(train, {
  epochs,
  milestones: [Math.round((2 * epochs) / 3)],
  learningRate: { head: 0.1, body: 0.01 },
  frozen: ["conv1", "bn1", "layer1"], // edges and colours are the same everywhere
  batchSize,
  augmentation: { horizontalFlip: true },
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
}
detector.dispose();
model.dispose();

/** A network that knows digits, by way of a file with torchvision's parameter names, as pretrained weights come. */
async function trainedOnDigits() {
  const digits = await datasets.mnist(fileURLToPath(new URL("data", import.meta.url)), { prefix: "mnist-", splits: ["train"] });
  const images = await datasets.conform(digits.train.subset(Array.from({ length: 600 }, (_, i) => i)), { channels: 3, imageSize: size });
  const plain = { leakyRelu: false, avgPoolShortcut: false, spectralNorm: false, l2Normalize: false };
  const small = await ResNet.create({ depth: 18, stem: "imagenet", width: 0.125, numClasses: 10, input, ...plain, device });
  console.log(`no --weights: training a small network on ${images.length} digits first`);
  await small.fit(images, { epochs: 4, batchSize: 50, precision: "auto", seed });
  const directory = await mkdtemp(join(tmpdir(), "fine-tune-"));
  const file = join(directory, "digits.safetensors");
  await small.save(file, { names: "torchvision" });
  small.dispose();
  const loaded = await ResNet.load(file, { input, device });
  await rm(directory, { recursive: true });
  return loaded;
}

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
