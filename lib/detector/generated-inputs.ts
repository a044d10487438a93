// Makes inputs that are surely out of distribution from calibration inputs: noise, and the same content in disorder. The self-test of a detector
// scores them.

import { Dataset } from "../data/dataset";
import { randomPermutation } from "../core/random-permutation";
import { seededUint32 } from "../core/random";
import type { ModelOutputs } from "../scores/score";
import { Tensor } from "../native/tensor";
import type { Tensors } from "./outputs";
import { rowsAt, spread } from "./rows-at";

/** Number of inputs of each kind: enough to tell a share to within a tenth. */
const generatedCount = 128;
/** Patches along a side. */
const grid = 4;

/** Images whose bytes are independent and uniform, of the calibration images' shape. */
export function noiseImages(calibration: Dataset): Dataset {
  const length = Math.min(generatedCount, calibration.length);
  const random = seededUint32(1);
  const images = Uint8Array.from({ length: length * (calibration.images.length / calibration.length) }, () => random() >>> 24);
  return Dataset.fromArrays({ images, labels: new Int32Array(length), shape: calibration.shape, name: "noise" });
}

/** Calibration images with their 4 × 4 patches in a random order. Where a side is no multiple of 4, the rest stays in its place. */
export function shuffledImages(calibration: Dataset): Dataset {
  const chosen = calibration.subset(spread(calibration.length, generatedCount));
  const [channels, height, width] = chosen.shape;
  const [rows, columns] = [Math.min(grid, height), Math.min(grid, width)];
  const [h, w] = [Math.floor(height / rows), Math.floor(width / columns)];
  const images = Uint8Array.from(chosen.images);
  for (let image = 0; image < chosen.length; image++) {
    const order = randomPermutation(rows * columns, image + 1);
    for (const [to, from] of order.entries()) {
      for (let line = 0; line < channels * h; line++) {
        const plane = (image * channels + Math.floor(line / h)) * height;
        const at = (patch: number) => (plane + Math.floor(patch / columns) * h + (line % h)) * width + (patch % columns) * w;
        images.set(chosen.images.subarray(at(from), at(from) + w), at(to));
      }
    }
  }
  return Dataset.fromArrays({ images, labels: new Int32Array(chosen.length), shape: chosen.shape, name: "shuffled" });
}

/** `noise`: rows of independent normal columns with the calibration's means and deviations. `shuffled`: rows whose columns come from different inputs. */
export async function generatedFeatures(
  calibration: Tensors,
  kinds: readonly (keyof ModelOutputs)[],
): Promise<{ noise: Tensors; shuffled: Tensors }> {
  const noise: Tensors = {};
  const shuffled: Tensors = {};
  for (const [number, kind] of kinds.entries()) {
    const given = calibration[kind] as Tensor;
    const sample = await rowsAt(given, spread(given.shape[0] as number, 4 * generatedCount));
    const [rows, columns] = sample.shape as [number, number];
    const values = sample.toArray() as Float32Array | Float64Array;
    sample.dispose();
    const count = Math.min(generatedCount, rows);
    const [drawn, mixed] = [values.slice(0, count * columns), values.slice(0, count * columns)];
    const random = seededUint32(number + 2);
    const normal = () => Math.sqrt(-2 * Math.log((random() + 0.5) / 2 ** 32)) * Math.cos((2 * Math.PI * random()) / 2 ** 32);
    for (let column = 0; column < columns; column++) {
      const value = (row: number) => values[row * columns + column] as number;
      let mean = 0;
      for (let row = 0; row < rows; row++) mean += (value(row) - mean) / (row + 1);
      let squares = 0;
      for (let row = 0; row < rows; row++) squares += (value(row) - mean) ** 2;
      const deviation = Math.sqrt(squares / Math.max(1, rows - 1));
      for (let row = 0; row < count; row++) {
        drawn[row * columns + column] = mean + deviation * normal();
        mixed[row * columns + column] = value(random() % rows);
      }
    }
    noise[kind] = Tensor.from(drawn, [count, columns]);
    shuffled[kind] = Tensor.from(mixed, [count, columns]);
  }
  return { noise, shuffled };
}
