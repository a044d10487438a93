// The main job on real images: trains an L2-normalised ResNet18 on 6,000 MNIST digits, fits a Gaussian mixture to its
// features, and tells 1,000 digits it has not seen from 1,000 images of clothes (Fashion-MNIST), which it has never seen.
// docs/guide/quickstart.md explains what it prints.
//
//   npm run quickstart -- [--device cuda] [--epochs 2] [--seed 1] [--no-l2] [--save model.safetensors]

import { Command } from "commander";
import { Detector, GaussianMixture, metrics, neuralCollapse } from "libtorch-ood";
import { extractAll, loadImages, machine, matrix, trainNetwork } from "./digits.mjs";
import { wholeNumber } from "./server/whole-number.mjs";
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
const { train, test, clothes } = await loadImages();
console.log(`${machine(options.device)}, seed ${options.seed}`);
console.log(`${train.length} digits to train on, ${test.length} to test, ${clothes.length} clothes as out-of-distribution images\n`);

const model = await trainNetwork(train, options);
if (options.save) await model.save(options.save);
const [training, digits, others] = await extractAll(model, [train, test, clothes]);

// About 600 images per class for covariances of 512 dimensions: the plain estimate is all but singular, so Ledoit and
// Wolf's shrinkage towards a multiple of the identity, whose amount follows from the data, takes its place.
const mixture = await GaussianMixture.fit(training.features, training.labels, { covariance: "ledoit-wolf" });
const density = { digits: await mixture.logDensity(digits.features), others: await mixture.logDensity(others.features) };
const confidence = {
  digits: metrics.softmaxConfidence(matrix(digits.logits)),
  others: metrics.softmaxConfidence(matrix(others.logits)),
};
const predictions = {
  training: metrics.predictedClass(matrix(training.logits)),
  digits: metrics.predictedClass(matrix(digits.logits)),
  others: metrics.predictedClass(matrix(others.logits)),
};

// A detector turns the score into a verdict. Half of the test digits set the threshold at which 5 in 100 digits are flagged;
// the other half, and the clothes, show what it does.
const half = test.length / 2;
const detector = await Detector.fromFeatures({
  ...training,
  calibration: { features: digits.features.slice(half, test.length), logits: digits.logits.slice(half, test.length) },
  falseAlarmRate: 0.05,
  scoreOptions: { covariance: "ledoit-wolf" },
});
const verdicts = {
  digits: await detector.predict({ features: digits.features.slice(0, half), logits: digits.logits.slice(0, half) }),
  others: await detector.predict(others),
};

const collapse = await neuralCollapse.measure({
  features: training.features,
  labels: training.labels,
  predictions: predictions.training,
  ...(await model.head()),
});

console.log(`
Digits or clothes?
  accuracy on digits                   ${metrics.accuracy(predictions.digits, digits.labels).toFixed(4)}
  AUROC, log density of the mixture    ${metrics.auroc(density.digits, density.others).toFixed(4)}   (Ledoit-Wolf covariances, shrinkage ${range(mixture.shrinkage)})
  AUROC, maximum softmax probability   ${metrics.auroc(confidence.digits, confidence.others).toFixed(4)}

Flagged as out of distribution (5 % of digits were asked for)
  digits                               ${flagged(verdicts.digits)}
  clothes                              ${flagged(verdicts.others)}

Neural collapse of the training features (0: collapsed)
  NC1 within / between variability     ${collapse.nc1.toFixed(4)}
  EN  norms, means and classifier      ${collapse.enMeans.toFixed(4)}   ${collapse.enClassifier.toFixed(4)}
  EA  angles, means and classifier     ${collapse.eaMeans.toFixed(4)}   ${collapse.eaClassifier.toFixed(4)}
  NC3 means against classifier         ${collapse.nc3.toFixed(4)}
  NC4 nearest mean against network     ${collapse.nc4.toFixed(4)}

Images with the network's answer and the detector's verdict
`);
process.stdout.write(
  renderImages([
    ...[0, 1, 2].map((i) => shown(test, i, verdicts.digits[i])),
    ...[0, 1, 2].map((i) => shown(clothes, i, verdicts.others[i])),
  ]),
);
console.log(`\n${((performance.now() - start) / 1000).toFixed(0)} s in all`);

function shown(images, index, { label, outOfDistribution }) {
  const isDigit = images === test;
  return {
    pixels: images.image(index),
    shape: images.shape,
    caption: [
      isDigit ? `digit ${images.classNames[images.labels[index]]}` : images.classNames[images.labels[index]],
      `says ${label}`,
      outOfDistribution ? "OUT OF DISTRIBUTION" : "in distribution",
    ],
  };
}

function flagged(answers) {
  return (answers.filter(({ outOfDistribution }) => outOfDistribution).length / answers.length).toFixed(4);
}

function range(values) {
  return `${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)}`;
}
