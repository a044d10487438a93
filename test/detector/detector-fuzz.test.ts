// Damaged detector files: each gives a detector or a typed error, never a crash. Half have a description that still parses.

import { writeFileSync, readFileSync } from "node:fs";
import { Detector, isLibtorchOodError } from "../../lib";
import { parseSafetensors, serializeSafetensors, type SafetensorsInput } from "../../lib/files/safetensors";
import { seededUint32 } from "../../lib/metrics/resampling";
import { temporaryDirectory } from "../files/temporary-directory";
import { tinyData, tinyNetwork, useOneThread } from "../resnet/tiny-network";
import { detectorOf } from "./synthetic";

useOneThread();
const directory = temporaryDirectory();
const random = seededUint32(20240707);
const below = (bound: number): number => random() % bound;
const pick = <T>(values: readonly T[]): T => values[below(values.length)] as T;

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
const strange: Json[] = [null, true, -1, 0, 1.5, 1e308, 2 ** 40, 64, "", "cuda:99", "logits", "full", [], [0], {}, { name: "vim" }];

/** Replaces, drops or adds one value somewhere in the JSON. */
function damageJson(value: Json): Json {
  if (typeof value !== "object" || value === null || below(4) === 0) return pick(strange);
  const keys = Object.keys(value);
  if (keys.length === 0) return pick(strange);
  const copy = (Array.isArray(value) ? [...value] : { ...value }) as Record<string, Json>;
  const key = pick(keys);
  if (below(5) === 0) delete copy[key];
  else copy[key] = damageJson(copy[key] as Json);
  return copy;
}

function damageMeaning(file: Uint8Array): Uint8Array {
  const { metadata, tensors } = parseSafetensors(file);
  const named = new Map(metadata);
  const inputs: SafetensorsInput[] = [...tensors].map(([name, tensor]) => ({ name, ...tensor, data: Uint8Array.from(tensor.data) }));
  const target = inputs[below(inputs.length)] as { -readonly [K in keyof SafetensorsInput]: SafetensorsInput[K] };
  const kind = below(6);
  if (kind < 3) named.set("description", JSON.stringify(damageJson(JSON.parse(named.get("description") as string) as Json)));
  else if (kind === 3) named.set(pick(["format", "version"]), pick(["2", "libtorch-ood/resnet", ""]));
  else if (kind === 4) {
    // NaN, infinities, negative counts, another order
    const words = new DataView((target.data as Uint8Array).buffer);
    if (words.byteLength >= 8) words.setFloat64(8 * below(words.byteLength >> 3), pick([NaN, Infinity, -Infinity, -1, 1e300]), true);
  } else if (below(2) === 0) inputs.splice(inputs.indexOf(target), 1);
  else {
    const elements = target.shape.reduce((a, b) => a * b, 1);
    target.shape = pick([[elements], [1, elements], [elements, 1]]);
  }
  return serializeSafetensors(inputs, { metadata: named });
}

function damageBytes(file: Uint8Array): Uint8Array {
  const bytes = Uint8Array.from(file);
  for (let times = 1 + below(3); times > 0; times--) bytes[below(below(2) ? 2000 : bytes.length)] = below(256);
  return below(8) === 0 ? bytes.slice(0, below(bytes.length)) : bytes;
}

test("1,000 damaged files: a detector, or ERR_CORRUPT_FILE and its like", async () => {
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
  for (let i = 0; i < 1000; i++) {
    const file = files[i % 3] as Uint8Array;
    const path = directory.path("damaged.safetensors");
    writeFileSync(path, i % 2 ? damageBytes(file) : damageMeaning(file));
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
  console.log("outcomes of 1,000 damaged detector files:", counts);
  // What loads may still not fit the probe (another number of dimensions, other evidence), which is for predict() to say.
  expect(Object.keys(counts).filter((outcome) => outcome.startsWith("load"))).toEqual(["load: ERR_CORRUPT_FILE"]);
  expect(counts["load: ERR_CORRUPT_FILE"]).toBeGreaterThan(300);
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
    if ("numClasses" in change) description.network.classNames = description.classNames = undefined;
    if ("inChannels" in change) description.network.normalization = undefined;
    const altered = new Map(metadata).set("description", JSON.stringify(description));
    writeFileSync(path, serializeSafetensors(inputs, { metadata: altered }));
    await expect(Detector.load(path)).rejects.toMatchObject({ code: "ERR_CORRUPT_FILE", message: expect.stringContaining("elements in") });
  }
});
