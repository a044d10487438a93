// Damaged detector files: each gives a detector or a typed error, never a crash. Half have a description that still parses.

import { writeFileSync, readFileSync } from "node:fs";
import { Detector, isLibtorchOodError } from "../../lib";
import { parseSafetensors, serializeSafetensors } from "../../lib/formats/safetensors";
import { damageMeaning, draws } from "../formats/damage";
import { temporaryDirectory } from "../support/temporary-directory";
import { figures, times } from "../reliability/campaign";
import { tinyData, tinyNetwork, useOneThread } from "../models/resnet/tiny-network";
import { detectorOf } from "./synthetic";

useOneThread();
const directory = temporaryDirectory();
const draw = draws(20240707);
const { below } = draw;

function damageBytes(file: Uint8Array): Uint8Array {
  const bytes = Uint8Array.from(file);
  for (let times = 1 + below(3); times > 0; times--) bytes[below(below(2) ? 2000 : bytes.length)] = below(256);
  return below(8) === 0 ? bytes.slice(0, below(bytes.length)) : bytes;
}

test("1,000 damaged files, in a campaign 10,000: a detector, or ERR_CORRUPT_FILE and its like", async () => {
  const model = await tinyNetwork({ width: 1 / 64 });
  const options = { calibration: tinyData(19, "held out"), scoreOptions: { covariance: "tied" } } as const;
  const sound = [await detectorOf(), await detectorOf({ score: "nearest-neighbours" }), await Detector.fit(model, tinyData(30), options)];
  const files: Uint8Array[] = [];
  for (const detector of sound) {
    const path = directory.path("sound.safetensors");
    await detector.save(path);
    files.push(readFileSync(path));
  }
  const counts: Record<string, number> = {};
  const number = times(1000, 10_000);
  for (let i = 0; i < number; i++) {
    const file = files[i % 3] as Uint8Array;
    const path = directory.path("damaged.safetensors");
    writeFileSync(path, i % 2 ? damageBytes(file) : damageMeaning(file, draw));
    let outcome = "load: ";
    try {
      const detector = await Detector.load(path);
      outcome = "predict: ";
      const probe = detector.takes === "images" ? tinyData(2) : { data: new Float64Array(4), shape: [2, 2] };
      for (const { pValue, className } of await detector.predict(probe)) {
        expect(pValue).toBeGreaterThan(0);
        expect(typeof className).toBe("string");
      }
      detector.dispose();
      outcome = "predicts";
    } catch (error) {
      if (!isLibtorchOodError(error)) throw error;
      outcome += error.code;
      if (outcome.startsWith("load") && error.code !== "ERR_CORRUPT_FILE") console.log(error.message);
    }
    counts[outcome] = (counts[outcome] ?? 0) + 1;
  }
  figures("hostile files, detector", { files: number, ...counts });
  // What loads may still not fit the probe (another number of dimensions, other outputs), which is for predict() to say.
  expect(Object.keys(counts).filter((outcome) => outcome.startsWith("load"))).toEqual(["load: ERR_CORRUPT_FILE"]);
  expect(counts["load: ERR_CORRUPT_FILE"]).toBeGreaterThan(0.3 * number);
  expect(Object.keys(counts).filter((outcome) => outcome.includes("ERR_INTERNAL"))).toEqual([]);
});

test("a small file cannot have a large network allocated", async () => {
  const model = await tinyNetwork({ width: 1 / 64 });
  const path = directory.path("large.safetensors");
  await (
    await Detector.fit(model, tinyData(30), { calibration: tinyData(19, "held out"), scoreOptions: { covariance: "tied" } })
  ).save(path);
  const { metadata, tensors } = parseSafetensors(readFileSync(path));
  const inputs = [...tensors].map(([name, tensor]) => ({ name, ...tensor }));
  for (const change of [{ width: 64 }, { imageSize: 4096 }, { numClasses: 1 << 20 }, { featureDim: 1 << 20 }, { inChannels: 4096 }]) {
    const description = JSON.parse(metadata.get("description") as string);
    Object.assign(description.network.architecture, change);
    description.network.geometry = undefined; // as in a file of before; it would not fit the architecture
    if ("numClasses" in change) description.network.classNames = description.classNames = undefined;
    if ("inChannels" in change) description.network.normalization = undefined;
    const altered = new Map(metadata).set("description", JSON.stringify(description));
    writeFileSync(path, serializeSafetensors(inputs, { metadata: altered }));
    await expect(Detector.load(path)).rejects.toMatchObject({
      code: "ERR_CORRUPT_FILE",
      message: expect.stringContaining("elements, by its architecture"),
    });
  }
});
