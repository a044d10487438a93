// Features of three Gaussian classes in the plane, and a detector over them: what a test of detectors starts from.

import { Detector, type DetectorFeatures } from "../../lib";
import { seededUint32 } from "../../lib/core/random";

/** Standard normal numbers by Box and Muller, from a seed. */
export function normals(seed: number): () => number {
  const random = seededUint32(seed);
  const unit = () => (random() + 0.5) / 2 ** 32;
  return () => Math.sqrt(-2 * Math.log(unit())) * Math.cos(2 * Math.PI * unit());
}

export interface Sample {
  features: { data: Float64Array; shape: [number, number] };
  labels: Int32Array;
}

const centres = [
  [0, 0],
  [6, 0],
  [0, 6],
];

export function sample(count: number, seed: number): Sample {
  const normal = normals(seed);
  const labels = Int32Array.from({ length: count }, (_, i) => i % 3);
  const data = Float64Array.from({ length: 2 * count }, (_, k) => ((centres[(k >> 1) % 3] as number[])[k % 2] as number) + normal());
  return { features: { data, shape: [count, 2] }, labels };
}

export const detectorOf = (options: Partial<DetectorFeatures> = {}): Promise<Detector> => {
  const train = sample(60, 1);
  return Detector.fromFeatures({ ...train, calibration: { features: sample(99, 2).features }, ...options } as DetectorFeatures);
};
