// A Detector over the features of another model. The "other model" is a few lines of plain JavaScript, gradients of 28×28 images in 49 cells; put your
// own embeddings (of a sentence encoder, CLIP, …) in its place. It learns digits and is shown clothes.
//
//   node examples/embeddings.mjs

import { fileURLToPath } from "node:url";
import { datasets, Detector } from "libtorch-ood";

const directory = fileURLToPath(new URL("data", import.meta.url));
const { train, test } = await datasets.mnist(directory);
const { test: clothes } = await datasets.fashionMnist(directory, { splits: ["test"] });
// Calibrate on inputs that the *model* has not seen. This one learns nothing, so a part of the training set serves; for a pretrained model hold out
// images that it was not trained on, such as a half of the test set.
const { train: fitted, validation: heldOut } = train.split(0.2, 1);

const detector = await Detector.fromFeatures({
  features: embed(fitted),
  labels: fitted.labels,
  calibration: { features: embed(heldOut), labels: heldOut.labels }, // never those that it was fitted to
  classNames: train.classNames,
  falseAlarmRate: 0.05,
  scoreOptions: { covariance: "ledoit-wolf" },
});

const digits = await detector.predict(embed(test));
const others = await detector.predict(embed(clothes));
const share = (answers, holds) => answers.filter(holds).length / answers.length;
const right = digits.filter(({ label }, i) => label === test.labels[i]).length / digits.length;
console.log(`digits named rightly      ${(100 * right).toFixed(1)} %`);
console.log(`digits flagged            ${(100 * share(digits, (answer) => answer.outOfDistribution)).toFixed(1)} %  (5 % asked for)`);
console.log(`clothes flagged           ${(100 * share(others, (answer) => answer.outOfDistribution)).toFixed(1)} %`);
const { falseAlarms, noise, leftOutClasses } = detector.selfTest();
console.log(
  `later digits flagged      ${percent(falseAlarms.lower)} to ${percent(falseAlarms.upper)} %  (95 of 100 calibrations of this size)`,
);
console.log(`noise flagged             ${percent(noise.flagged)} %`);
console.log(`left-out digits flagged   ${percent(leftOutClasses.flagged)} %  (each digit under the detector without it)`);
for (const warning of detector.warnings) console.warn(`warning: ${warning}`);
detector.dispose();

function percent(value) {
  return (100 * value).toFixed(1);
}

/** Strength of horizontal and vertical gradients in each of 7×7 cells: [N, 98]. */
function embed({ images, length }) {
  const data = new Float32Array(length * 98);
  for (let n = 0; n < length; n++) {
    const pixel = (y, x) => images[784 * n + 28 * Math.min(y, 27) + Math.min(x, 27)] / 255;
    for (let y = 0; y < 28; y++) {
      for (let x = 0; x < 28; x++) {
        const cell = 98 * n + 2 * (7 * (y >> 2) + (x >> 2));
        data[cell] += Math.abs(pixel(y, x + 1) - pixel(y, x)) / 16;
        data[cell + 1] += Math.abs(pixel(y + 1, x) - pixel(y, x)) / 16;
      }
    }
  }
  return { data, shape: [length, 98] };
}
