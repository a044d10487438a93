// Which score, which covariance, which false-alarm rate: measured on the quickstart's images, as docs/results/scores.md reads them. A tenth of
// the training digits is held out to calibrate the detector; everything else is fitted to the other nine tenths.
//
//   node examples/choosing.mjs [--weights network.safetensors] [--device cuda] [--epochs 2] [--seed 1]

import { existsSync } from "node:fs";
import { Command } from "commander";
import { Detector, GaussianMixture, metrics, ResNet, scores } from "libtorch-ood";
import { extractAll, loadImages, machine, matrix, trainNetwork } from "./digits.mjs";
import { wholeNumber } from "./server/whole-number.mjs";

const options = new Command("choosing")
  .description("Compare scores, covariance estimators and false-alarm rates on digits and clothes.")
  .option(
    "--weights <file>",
    "a network that this program trained: read where it exists, else written (the quickstart's saw the held-out digits)",
  )
  .option("--device <name>", "cpu, cuda or cuda:N", "cpu")
  .option("--epochs <n>", "epochs of training; the learning rate drops before the last", wholeNumber(1), 2)
  .option("--seed <n>", "of weights, order of images", wholeNumber(0), 1)
  .parse()
  .opts();

const { train, test, clothes } = await loadImages();
const { train: fitted, validation: heldOut } = train.split(0.1, 1);
console.log(`${machine(options.device)}, seed ${options.seed}`);
console.log(`${fitted.length} digits to fit, ${heldOut.length} to calibrate, ${test.length} to test, ${clothes.length} clothes\n`);

const stored = options.weights !== undefined && existsSync(options.weights);
const model = stored ? await ResNet.load(options.weights, { device: options.device }) : await trainNetwork(fitted, options);
if (options.weights && !stored) await model.save(options.weights);
const { indices: trainedOn } = await model.overlap(heldOut);
if (trainedOn.length > 0) throw new Error(`${options.weights} was trained on ${trainedOn.length} of the digits that are held out here`);
const outputs = ["features", "rawFeatures", "logits"];
const [training, calibration, digits, others] = await extractAll(model, [fitted, heldOut, test, clothes], { outputs });
const labels = metrics.predictedClass(matrix(digits.logits));
console.log(`accuracy on digits ${metrics.accuracy(labels, digits.labels).toFixed(4)}\n`);

const fitTo = { ...training, ...(await model.head()) };

const shrunk = { covariance: "ledoit-wolf" };
const mixture = await GaussianMixture.fit(training.features, training.labels, shrunk);
const reference = { inside: await mixture.logDensity(digits.features), outside: await mixture.logDensity(others.features) };

heading("Scores, all options default but the mixture's covariance, ledoit-wolf");
for (const name of scores.names) {
  const score = await scores.fit(name, fitTo, name === "gaussian-mixture" ? shrunk : undefined);
  row(name, { inside: await score.score(digits), outside: await score.score(others) });
  for (const warning of score.warnings) console.log(`    ${warning}`);
}

heading("The mixture by covariance");
for (const covariance of ["full", "tied", "diagonal", "ledoit-wolf", "oas", "low-rank"]) {
  const rank = covariance === "low-rank" ? 32 : undefined;
  const fit = await GaussianMixture.fit(training.features, training.labels, { covariance, rank });
  row(rank ? `${covariance}, rank ${rank}` : covariance, {
    inside: await fit.logDensity(digits.features),
    outside: await fit.logDensity(others.features),
  });
  if (Math.max(...fit.shrinkage) > 0) console.log(`    shrinkage ${range(fit.shrinkage, (value) => value.toFixed(2))}`);
  if (Math.max(...fit.jitter) > 0) console.log(`    jitter ${range(fit.jitter, (value) => value.toExponential(0))}`);
  for (const warning of fit.warnings) console.log(`    ${warning}`);
}

const detector = await Detector.fromFeatures({
  features: training.features,
  logits: training.logits,
  labels: training.labels,
  calibration: { features: calibration.features, logits: calibration.logits },
  classNames: train.classNames,
  scoreOptions: shrunk,
});
const count = calibration.labels.length;
console.log(`
Detector, calibrated on ${count} digits: share that is flagged
  false-alarm rate      digits   expected in 95 of 100   digits misnamed   clothes`);
for (const falseAlarmRate of [0.01, 0.05, 0.1]) {
  const flagged = async ({ features, logits }) =>
    (await detector.predict({ features, logits }, { falseAlarmRate })).map(({ outOfDistribution }) => outOfDistribution);
  const alarms = await flagged(digits);
  const wrong = alarms.filter((_, i) => labels[i] !== digits.labels[i]);
  const expected = expectedShare(falseAlarmRate, count, alarms.length);
  console.log(
    `  ${falseAlarmRate.toFixed(2).padEnd(22)}` +
      percent(alarms).padEnd(9) +
      expected.padEnd(24) +
      `${wrong.filter(Boolean).length} of ${wrong.length}`.padEnd(18) +
      percent(await flagged(others)),
  );
}
detector.dispose();

function heading(title) {
  console.log(`\n${title}\n${"".padEnd(24)}AUROC   less ledoit-wolf's   FPR95   AUPR`);
}

/** One line of a table; the brackets hold the difference from the reference score in 95 of 100 draws of the test images. */
function row(name, { inside, outside }) {
  const { auroc, fpr, aupr } = metrics.evaluate(inside, { clothes: outside }).sets.clothes;
  const [lower, upper] = difference({ inside, outside }, reference);
  const interval = lower === upper ? "" : `${signed(lower)} to ${signed(upper)}`;
  console.log(`  ${name.padEnd(22)}${auroc.toFixed(4)}  ${interval.padEnd(21)}${fpr.toFixed(3)}   ${aupr.toFixed(4)}`);
}

/** AUROC less that of another score on the same images: a bootstrap over the images' numbers, so that both scores see the same draw. */
function difference(one, other) {
  const of = (scored, inside, outside) =>
    metrics.auroc(
      inside.map((i) => scored.inside[i]),
      outside.map((i) => scored.outside[i]),
    );
  const numbers = ({ length }) => Float64Array.from({ length }, (_, i) => i);
  const { lower, upper } = metrics.bootstrapInterval(numbers(one.inside), numbers(one.outside), {
    statistic: (inside, outside) => of(one, inside, outside) - of(other, inside, outside),
  });
  return [lower, upper];
}

/**
 * Between what shares of fresh digits the alarms should lie in 95 of 100 cases, over calibration and digits: beta-binomial, by the chance that
 * exactly a of m fresh scores are among the k lowest when the n calibration scores are mixed among them.
 */
function expectedShare(rate, n, m) {
  const k = Math.floor(rate * (n + 1) + 1e-9);
  let chance = 1; // of no alarm at all: all m above the k-th lowest calibration score
  for (let i = 0; i < m; i++) chance *= (n - k + 1 + i) / (n + 1 + i);
  const quantiles = [];
  for (let alarms = 0, sum = chance; quantiles.length < 2; alarms++) {
    while (quantiles.length < 2 && sum >= [0.025, 0.975][quantiles.length]) quantiles.push(alarms / m);
    chance *= ((k + alarms) * (m - alarms)) / ((alarms + 1) * (n - k + m - alarms));
    sum += chance;
  }
  return quantiles.map((share) => `${(100 * share).toFixed(1)} %`).join(" to ");
}

function percent(flags) {
  return `${((100 * flags.filter(Boolean).length) / flags.length).toFixed(1)} %`;
}

function signed(value) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(4)}`;
}

function range(values, text) {
  return `${text(Math.min(...values))} to ${text(Math.max(...values))}`;
}
