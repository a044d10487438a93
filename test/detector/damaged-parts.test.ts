// A detector's file with one array or one field of a part spoilt: the error says which file it is, whatever part it was.

import { Detector, scores, type DetectorFeatures } from "../../lib";
import { readSafetensors, writeSafetensors } from "../../lib/formats/safetensors";
import { temporaryDirectory } from "../support/temporary-directory";
import { tinyData, tinyNetwork, useOneThread } from "../models/resnet/tiny-network";
import { sample } from "./synthetic";

useOneThread();
const directory = temporaryDirectory();
const path = directory.path("damaged.safetensors");

async function spoilEach(detector: Detector, everyNth = 1): Promise<number> {
  await detector.save(path);
  const { tensors, metadata } = await readSafetensors(path);
  const entries = [...tensors].map(([name, tensor]) => ({ name, ...tensor }));
  const refused = async (what: string): Promise<void> => {
    const error: unknown = await Detector.load(path).catch((reason: unknown) => reason);
    // What was spoilt is shown where it is not refused.
    expect([what, error]).toMatchObject([
      what,
      {
        code: "ERR_CORRUPT_FILE",
        message: expect.stringMatching(/^\S*damaged\.safetensors: /) as string,
      },
    ]);
  };
  let spoilt = 0;
  for (const { name } of entries.filter((_, i) => i % everyNth === 0)) {
    const others = entries.filter((entry) => entry.name !== name);
    if (name !== "calibration.labels") {
      await writeSafetensors(path, others, { metadata: Object.fromEntries(metadata) });
      await refused(`without ${name}`);
    }
    for (const [dtype, data] of [
      ["F64", new Uint8Array(Float64Array.from({ length: 16_777 }, (_, i) => -i).buffer)],
      ["I64", new Uint8Array(new BigInt64Array(3).fill(-1n).buffer)],
    ] as const) {
      const shape = [data.length / 8];
      await writeSafetensors(path, [...others, { name, dtype, shape, data }], { metadata: Object.fromEntries(metadata) });
      await refused(`${name} as ${dtype}`);
      spoilt++;
    }
  }
  return spoilt;
}

const of = ({ features, labels }: ReturnType<typeof sample>) => {
  const logits = Float64Array.from({ length: 3 * labels.length }, (_, i) => (i % 3) * (features.data[2 * Math.floor(i / 3)] as number));
  return { features, rawFeatures: features, labels, logits: { data: logits, shape: [labels.length, 3] } };
};
const layer = {
  weight: { data: new Float64Array([-1, -1, 1, 0, 0, 1]), shape: [3, 2] },
  bias: { data: new Float64Array([3, -3, -3]), shape: [3] },
};

test.each([...scores.names])("score %s", async (score) => {
  const scoreOptions = score === "vim" ? { dimension: 1 } : score === "nearest-neighbours" ? { k: 5 } : {};
  const options = { ...of(sample(60, 1)), ...layer, calibration: of(sample(40, 2)), score, scoreOptions };
  using detector = await Detector.fromFeatures(options as DetectorFeatures);
  expect(await spoilEach(detector)).toBeGreaterThan(1);
});

test("the mixture that names classes beside another score", async () => {
  const { features, labels } = sample(60, 1);
  const options = { features, labels, calibration: { features: sample(40, 2).features }, scoreOptions: { k: 5 } };
  using detector = await Detector.fromFeatures({ ...options, score: "nearest-neighbours" });
  expect(await spoilEach(detector)).toBeGreaterThan(4);
});

test("the network", async () => {
  const model = await tinyNetwork({ width: 1 / 64 });
  const options = { calibration: tinyData(19, "held out"), score: "energy", selfTest: false } as const;
  using detector = await Detector.fit(model, tinyData(30), options);
  expect(await spoilEach(detector, 9)).toBeGreaterThan(4);
  model.dispose();
});

test("a network that could not take an image, or parts of one that is not described", async () => {
  const model = await tinyNetwork({ width: 1 / 64 });
  using detector = await Detector.fit(model, tinyData(30), { calibration: tinyData(19, "held out"), score: "energy", selfTest: false });
  await detector.save(path);
  const { tensors, metadata } = await readSafetensors(path);
  const entries = [...tensors].map(([name, tensor]) => ({ name, ...tensor }));
  type Description = { network?: { normalization?: unknown; architecture: { leakyRelu: unknown; spectralNorm: unknown } } };
  for (const [spoil, message] of [
    [({ network }) => (network!.normalization = null), /network\.normalization: expected mean and std/],
    [({ network }) => delete network!.normalization, /network\.normalization: expected mean and std/],
    [({ network }) => (network!.architecture.leakyRelu = null), /an architecture with leakyRelu/],
    [({ network }) => (network!.architecture.spectralNorm = null), /an architecture with spectralNorm/],
    [(description) => delete description.network, /network: expected the description of its tensors/],
  ] as [(description: Description) => unknown, RegExp][]) {
    const description = JSON.parse(metadata.get("description") as string) as Description;
    spoil(description);
    await writeSafetensors(path, entries, { metadata: { ...Object.fromEntries(metadata), description: JSON.stringify(description) } });
    const error: unknown = await Detector.load(path).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "ERR_CORRUPT_FILE", message: expect.stringMatching(message) as string });
  }
  model.dispose();
});
