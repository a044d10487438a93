// The small ONNX models of test/reference/onnx and the images that their expected values are of.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../../lib/core/package-root";

export const modelPath = (name: string): string => join(packageRoot, "test", "reference", "onnx", `${name}.onnx`);

export interface ExpectedValues {
  name: string;
  values: number[][];
}

export const expectedValues = JSON.parse(readFileSync(join(packageRoot, "test", "reference", "onnx_models.json"), "utf8")) as Record<
  string,
  { features: ExpectedValues; logits: ExpectedValues | null }
>;

export const input = { size: 16, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };

export const images = {
  data: Uint8Array.from({ length: 5 * 3 * 16 * 16 }, (_, i) => Math.imul(i, 2654435761) >>> 24),
  shape: [5, 3, 16, 16],
};
