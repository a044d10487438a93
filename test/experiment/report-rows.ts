// Rows as `experiment run` writes them, with numbers that follow from cell, seed and epoch: a small experiment that fills every table and figure.

import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MeasuredScore } from "../../lib/experiment/measured-scores";
import type { Cell, HeaderRow, MeasurementRow, OodResult, SampledPoints } from "../../lib/experiment/rows";

export const header: HeaderRow = {
  kind: "header",
  version: 1,
  preset: "table1",
  configuration: { preset: "table1" },
  configurationHash: "4f1c",
  library: "0.1.0",
  libtorch: "2.13.0",
};

export function cell(changes: Partial<Cell> = {}): Cell {
  const { depth = 18, spectralNorm = true, avgPoolShortcut = true, l2Normalize = true, paperEpochs = 60 } = changes;
  const switches = [spectralNorm && "sn", avgPoolShortcut && "leaky"].filter(Boolean).join("+") || "plain";
  return {
    name: `resnet${depth} ${switches} ${l2Normalize ? "L2" : "no L2"} ${paperEpochs}`,
    depth,
    spectralNorm,
    avgPoolShortcut,
    l2Normalize,
    paperEpochs,
    epochs: 6,
    milestones: [4, 5],
    batchSize: 128,
    width: 1,
    featureDim: undefined,
    ...changes,
  };
}

const sets = ["svhn", "cifar100", "tiny-imagenet"] as const;

/** A number from 0 to 1 that looks random and follows from its arguments. */
export function noise(...of: (string | number)[]): number {
  let hash = 2166136261;
  for (const character of of.join(" ")) hash = Math.imul(hash ^ character.charCodeAt(0), 16777619);
  hash = Math.imul(hash ^ (hash >>> 15), 2246822507);
  return ((hash ^ (hash >>> 13)) >>> 0) / 2 ** 32;
}

export function row(of: Cell, seed: number, epoch: number, changes: Partial<MeasurementRow> = {}): MeasurementRow {
  const phase = changes.phase ?? "training";
  const learned = 1 - Math.exp(-epoch / 3);
  const collapsing = Math.exp(-epoch / (of.l2Normalize ? 2 : 5)) + 0.02;
  const wobble = (of_: string): number => 0.02 * noise(of.name, seed, phase, epoch, of_);
  const treated = phase === "nc-loss" ? 0.03 : 0;
  const result = (set: string, score: MeasuredScore): OodResult => ({
    auroc: 0.7 + 0.18 * learned + (of.l2Normalize ? 0.03 : 0) + wobble(set + score) + treated,
    auprIn: 0.75 + wobble(`${set}${score}in`),
    auprOut: 0.7 + wobble(`${set}${score}out`),
    fpr95: 0.5 - 0.2 * learned + wobble(`${set}${score}fpr`),
    falsePositives: Math.round(3000 - 900 * learned + 400 * noise(of.name, seed, phase, epoch, set) + 4000 * treated),
  });
  const scores = (set: string) => ({
    "gaussian-mixture": result(set, "gaussian-mixture"),
    "max-softmax": result(set, "max-softmax"),
    "gaussian-mixture:logits": result(set, "gaussian-mixture:logits"),
  });
  return {
    kind: "measurement",
    cell: of,
    seed,
    phase,
    epoch,
    final: epoch === of.epochs,
    inDistribution: "cifar10",
    loss: 2.3 * (1 - learned) + 0.1,
    accuracy: 0.5 + 0.4 * learned + wobble("accuracy"),
    validationAccuracy: 0.5 + 0.4 * learned,
    learningRate: epoch < 4 ? 0.1 : 0.01,
    collapse: {
      nc1: 3 * collapsing + wobble("nc1"),
      enMeans: 0.3 * collapsing + wobble("enMeans"),
      enClassifier: 0.2 * collapsing + wobble("enClassifier"),
      eaMeans: 0.3 * collapsing + wobble("eaMeans"),
      eaClassifier: 0.2 * collapsing + wobble("eaClassifier"),
      nc3: 0.5 * collapsing + wobble("nc3"),
      nc4: 0.05 * (1 - learned),
      rank: 9,
    },
    ood: Object.fromEntries(sets.map((set) => [set, scores(set)])) as MeasurementRow["ood"],
    jitter: 0,
    singularValues: undefined,
    samples: undefined,
    scaled: ["epochs 6 of 60", "20000 training images"],
    seconds: { training: 10, measurement: 1 },
    ...changes,
  };
}

/** Log densities, and with `planar` features on ten spokes. */
export function samples(name: string, planar: boolean, count = 200): Record<string, SampledPoints> {
  const of = (set: string, shift: number): SampledPoints => {
    const at = Array.from({ length: count }, (_, i) => i);
    const spread = (i: number): number => [1, 2, 3, 4].reduce((sum, k) => sum + noise(name, set, i, k), 0) / 4 - 0.5;
    const features = at.map((i) => [Math.cos((i % 10) * 0.628) + shift + spread(i), Math.sin((i % 10) * 0.628) + 0.7 * spread(i + count)]);
    return {
      logDensity: at.map((i) => 1000 - 900 * shift + 600 * spread(i)),
      features: planar ? features : undefined,
      labels: shift === 0 ? at.map((i) => i % 10) : undefined,
    };
  };
  return { test: of("test", 0), svhn: of("svhn", 0.5), cifar100: of("cifar100", 0.25) };
}

const singularValues = (name: string, seed: number) =>
  Object.fromEntries(
    ["train", "test", "svhn"].map((set, k) => [
      set,
      Array.from({ length: 15 }, (_, i) => (i < 9 ? 120 : 8) * Math.exp(-0.1 * i - 0.3 * k) * (1 + 0.1 * noise(name, seed, set, i))),
    ]),
  );

/** What every preset together would write, on a small scale: two seeds of each cell. */
export function everyRow(): MeasurementRow[] {
  const switches = [false, true];
  const ablation = switches.flatMap((spectralNorm) =>
    switches.flatMap((avgPoolShortcut) => switches.map((l2Normalize) => cell({ spectralNorm, avgPoolShortcut, l2Normalize }))),
  );
  const others = [
    cell({ l2Normalize: false, paperEpochs: 350 }),
    cell({ l2Normalize: true, paperEpochs: 350 }),
    ...[350, 100].map((paperEpochs) => cell({ depth: 50, l2Normalize: false, paperEpochs })),
    cell({ depth: 50, l2Normalize: true, paperEpochs: 100 }),
  ];
  const seeds = [1, 2];
  const finals = [...ablation, ...others].flatMap((of) =>
    seeds.map((seed) =>
      row(of, seed, 6, {
        singularValues: of.spectralNorm && of.avgPoolShortcut && of.depth === 18 ? singularValues(of.name, seed) : undefined,
      }),
    ),
  );
  const measuredByEpoch = [cell({ l2Normalize: false, paperEpochs: 500, epochs: 10 }), cell({ paperEpochs: 150, epochs: 15 })];
  const byEpoch = measuredByEpoch.flatMap((of) => seeds.flatMap((seed) => epochs(1, of.epochs).map((epoch) => row(of, seed, epoch))));
  const stopped = cell({ name: "intervention", l2Normalize: false, paperEpochs: 350, epochs: 10 });
  const intervention = seeds.flatMap((seed) => [
    row(stopped, seed, 3, { final: true }),
    ...(["nc-loss", "control"] as const).flatMap((phase) =>
      epochs(4, 8).map((epoch) => row(stopped, seed, epoch, { phase, final: epoch === 8 })),
    ),
  ]);
  const planar = cell({ name: "2-D features", featureDim: 2 });
  const sampled = [row(planar, 1, 6, { samples: samples("2-D", true) }), row(planar, 2, 6, { samples: samples("2-D again", true) })];
  return [...finals, ...byEpoch, ...intervention, ...sampled];
}

export function epochs(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** A new folder with these lines as its results.jsonl, as they are. */
export function runsFolder(text: string | Uint8Array): string {
  const folder = mkdtempSync(join(tmpdir(), "runs-"));
  writeFileSync(join(folder, "results.jsonl"), text);
  return folder;
}

export function linesOf(rows: readonly MeasurementRow[]): string {
  return [header, ...rows].map((line) => JSON.stringify(line) + "\n").join("");
}
