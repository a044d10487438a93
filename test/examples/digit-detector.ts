// A detector of digits that is made in two seconds, and images to ask it about, for the examples that load one from a file.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { datasets, Detector, ResNet, type Dataset, type Prediction } from "../../lib";
import { dataDirectory } from "../cli/command";

/** PNG files of the first `count` images, a folder per class. */
export async function writeImages(folder: string, data: Dataset, count: number): Promise<string[]> {
  const files: string[] = [];
  for (let i = 0; i < count; i++) {
    const place = join(folder, data.classNames[data.labels[i]!]!.replace(/\W/g, "-"));
    mkdirSync(place, { recursive: true });
    const file = join(place, `${i}.png`);
    await sharp(Buffer.from(data.image(i)), { raw: { width: 28, height: 28, channels: 1 } })
      .png()
      .toFile(file);
    files.push(file);
  }
  return files;
}

/** Writes the detector to `file` and `count` digits into `folder`; what it says of each of them. */
export async function writeDigitDetector(
  file: string,
  folder: string,
  count: number,
): Promise<{ images: string[]; answers: Prediction[] }> {
  const { train, test } = await datasets.mnist(dataDirectory, { prefix: "mnist-" });
  const model = await ResNet.create({ numClasses: 10, inChannels: 1, imageSize: 28, width: 0.0625, normalization: train.normalization });
  const [fitted, calibration] = [train.subset(300), train.subset(Array.from({ length: 50 }, (_, i) => 300 + i))];
  const detector = await Detector.fit(model, fitted, { calibration, score: "energy" });
  await detector.save(file);
  const images = await writeImages(folder, test, count);
  const answers: Prediction[] = [];
  for (const image of images) answers.push(...(await detector.predict(image))); // one at a time
  detector.dispose();
  model.dispose();
  return { images, answers };
}
