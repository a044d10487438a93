// The main job on real images: trains an L2-normalised ResNet18 on 6,000 MNIST digits, fits a Gaussian mixture to its
// features, and tells 1,000 digits it has not seen from 1,000 images of clothes (Fashion-MNIST), which it has never seen.
//
//   npm run quickstart -- [--device cuda] [--epochs 2] [--seed 1] [--no-l2] [--save model.safetensors]

import { fileURLToPath } from "node:url";
import cliProgress from "cli-progress";
import { Command, InvalidArgumentError } from "commander";
import { datasets, device, GaussianMixture, metrics, neuralCollapse, ResNet } from "libtorch-ood";
import { renderImages } from "./terminal-image.mjs";

const options = new Command("quickstart")
  .description("Train on digits, tell them from clothes.")
  .option("--device <name>", "cpu, cuda or cuda:N", "cpu")
  .option("--epochs <n>", "epochs of training; the learning rate drops before the last", wholeNumber(1), 2)
  .option("--seed <n>", "of weights, order of images", wholeNumber(0), 1)
  .option("--no-l2", "do not L2-normalise the features")
  .option("--save <file>", "write the trained network to a .safetensors file")
  .parse()
  .opts();

const start = performance.now();
const directory = fileURLToPath(new URL("data", import.meta.url));
const { train, test } = await datasets.mnist(directory, { prefix: "mnist-" });
const { test: clothes } = await datasets.fashionMnist(directory, { prefix: "fashion-", splits: ["test"] });
const machine = device.info();
const precision = options.device !== "cpu" || machine.bfloat16 ? "bfloat16" : "float32";
console.log(
  `libtorch ${machine.libtorch}, ${options.device === "cpu" ? `CPU (${machine.cpuCapability}, ${machine.threads} threads)` : options.device}, ` +
    `${precision} convolutions, seed ${options.seed}`,
);
console.log(`${train.length} digits to train on, ${test.length} to test, ${clothes.length} clothes as out-of-distribution images\n`);

const model = await ResNet.create({
  depth: 18,
  numClasses: 10,
  inChannels: 1,
  imageSize: 28,
  l2Normalize: options.l2,
  seed: options.seed,
  device: options.device,
});

await withBar("training  ", options.epochs * train.length, async (bar) => {
  await model.fit(train, {
    epochs: options.epochs,
    batchSize: 64,
    milestones: [Math.max(1, options.epochs - 1)],
    precision,
    seed: options.seed,
    onBatch: ({ epoch, batch, batches, loss, imagesPerSecond }) =>
      bar.update(Math.min(((epoch - 1) * batches + batch) * 64, epoch * train.length), {
        note: `epoch ${epoch}/${options.epochs}, batch ${batch}/${batches}, loss ${loss.toFixed(3)}, ${imagesPerSecond.toFixed(0)} images/s`,
      }),
  });
});
if (options.save) await model.save(options.save);

const extracted = await withBar("extracting", train.length + test.length + clothes.length, async (bar) => {
  const results = [];
  let before = 0;
  for (const images of [train, test, clothes]) {
    results.push(await model.extract(images, { precision, onProgress: (done) => bar.update(before + done, { note: "" }) }));
    before += images.length;
  }
  return results;
});
const [training, digits, others] = extracted;

// About 600 images per class for covariances of 512 dimensions: the plain estimate is all but singular, so Ledoit and
// Wolf's shrinkage towards a multiple of the identity, whose amount follows from the data, takes its place.
const mixture = await GaussianMixture.fit(training.features, training.labels, { covariance: "ledoit-wolf" });
const density = { digits: await mixture.logDensity(digits.features), others: await mixture.logDensity(others.features) };
const confidence = {
  digits: metrics.softmaxConfidence(matrix(digits.logits)),
  others: metrics.softmaxConfidence(matrix(others.logits)),
};
const weights = await model.weights();
const predictions = {
  training: metrics.predictedClass(matrix(training.logits)),
  digits: metrics.predictedClass(matrix(digits.logits)),
  others: metrics.predictedClass(matrix(others.logits)),
};
const collapse = await neuralCollapse.measure({
  features: training.features,
  labels: training.labels,
  predictions: predictions.training,
  weight: weights.get("fc.weight"),
  bias: weights.get("fc.bias"),
});

console.log(`
Digits or clothes?
  accuracy on digits                   ${metrics.accuracy(predictions.digits, digits.labels).toFixed(4)}
  AUROC, log density of the mixture    ${metrics.auroc(density.digits, density.others).toFixed(4)}   (Ledoit-Wolf covariances, shrinkage ${range(mixture.shrinkage)})
  AUROC, maximum softmax probability   ${metrics.auroc(confidence.digits, confidence.others).toFixed(4)}

Neural collapse of the training features (0: collapsed)
  NC1 within / between variability     ${collapse.nc1.toFixed(4)}
  EN  norms, means and classifier      ${collapse.enMeans.toFixed(4)}   ${collapse.enClassifier.toFixed(4)}
  EA  angles, means and classifier     ${collapse.eaMeans.toFixed(4)}   ${collapse.eaClassifier.toFixed(4)}
  NC3 means against classifier         ${collapse.nc3.toFixed(4)}
  NC4 nearest mean against network     ${collapse.nc4.toFixed(4)}

Images with the network's answer and the log density (higher: more like the digits it was trained on)
`);
process.stdout.write(
  renderImages([
    ...[0, 1, 2, 3].map((i) => shown(test, i, predictions.digits[i], density.digits[i])),
    ...[0, 1, 2, 3].map((i) => shown(clothes, i, predictions.others[i], density.others[i])),
  ]),
);
console.log(`\n${((performance.now() - start) / 1000).toFixed(0)} s in all`);

function shown(images, index, label, logDensity) {
  const isDigit = images === test;
  return {
    pixels: images.image(index),
    shape: images.shape,
    caption: [
      isDigit ? `digit ${images.classNames[images.labels[index]]}` : images.classNames[images.labels[index]],
      `says ${label}`,
      logDensity.toFixed(0),
    ],
  };
}

function matrix(tensor) {
  return { data: tensor.toArray(), shape: tensor.shape };
}

function range(values) {
  return `${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)}`;
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

function wholeNumber(minimum) {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < minimum) throw new InvalidArgumentError(`expected a whole number from ${minimum} on`);
    return value;
  };
}
