// The floats that a model's process makes of pixels by a table: those that every other network computes with, bit for bit.

import { defineExtractor } from "../../../lib";
import { pixelTable } from "../../../lib/models/onnx/pixel-table";
import { normalizePixels } from "../../../lib/models/onnx/pixels";

test.each([
  ["three channels, as ImageNet's", { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }],
  ["one channel", { mean: [0.1307], std: [0.3081] }],
])("%s", async (_, { mean, std }) => {
  const [count, channels, size] = [7, mean.length, 37];
  const pixels = Uint8Array.from({ length: count * channels * size * size }, (_, i) => (i * 131 + (i >> 8)) % 256);
  const seen: Float32Array[] = [];
  const model = defineExtractor({
    ...{ name: "copies", featureDim: 1, input: { channels, size, mean, std } },
    embed: (batch) => {
      seen.push(batch.data.slice());
      return { features: new Float32Array(batch.count) };
    },
  });
  await model.extract({ data: pixels, shape: [count, channels, size, size] }, { outputs: ["features"] });
  const floats = new Float32Array(pixels.length);
  normalizePixels(pixels, await pixelTable({ mean, std }), size * size, floats);
  expect(floats.every((value, i) => Object.is(value, seen[0]![i]))).toBe(true);
  expect(new Set(floats).size).toBeGreaterThan(200);
});
