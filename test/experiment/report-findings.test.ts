// What a report says first: the difference that L2 makes and how sure it is, networks near guessing, when and where it was made.

import { reportContents } from "../../lib/experiment/report/contents";
import { differenceTables, findings, weakNetworks } from "../../lib/experiment/report/findings";
import { networksOf } from "../../lib/experiment/report/networks";
import type { Cell, HeaderRow, MeasurementRow } from "../../lib/experiment/rows";
import { cell, epochs, header, row, samples } from "./report-rows";

const [l2Normalize, noL2] = [true, false].map((normalized) => cell({ l2Normalize: normalized, name: `resnet18 sn+leaky ${normalized ? "L2" : "noL2"} 60` })) as [Cell, Cell]; // prettier-ignore
const sn = cell({ l2Normalize: true, spectralNorm: false, name: "resnet18 leaky L2 60" });
const scored = (auroc: number) => ({ "gaussian-mixture": { auroc, auprIn: 0.5, auprOut: 0.5, fpr95: 0.5, falsePositives: 1 } });
const final = (of: Cell, seed: number, cifar100: number, accuracy = 0.9, mine = 0.75): MeasurementRow =>
  row(of, seed, 6, {
    accuracy,
    ood: { cifar100: scored(cifar100), "my photos": scored(mine) } as unknown as MeasurementRow["ood"],
    scaled: [],
  });

test("the first sentence has the difference, the numbers and how sure they are", () => {
  const rows = [final(l2Normalize, 1, 0.7), final(l2Normalize, 2, 0.66), final(noL2, 1, 0.68), final(noL2, 2, 0.644, 0.8)];
  expect(findings(networksOf(rows))).toEqual([
    "resnet18 sn+leaky 60: L2 is ahead on CIFAR-100 by 0.018 (0.680 against 0.662, 2 seeds, ranges overlap) and level on my photos " +
      "(0.750 against 0.750, 2 seeds, ranges overlap) in AUROC of the Gaussian mixture; accuracy 0.900 against 0.850.",
  ]);
  const apart = [
    final(l2Normalize, 1, 0.6, 0.9, 0.9),
    final(l2Normalize, 2, 0.61, 0.9, 0.8),
    final(noL2, 1, 0.68),
    final(noL2, 3, 0.7),
    final(noL2, 5, 0.69),
  ];
  expect(findings(networksOf(apart))[0]).toMatch(
    /^.*: L2 is behind on CIFAR-100 by 0\.085 \(.*, 2 and 3 seeds, ranges apart\) and ahead on my/,
  );
  expect(findings(networksOf([rows[0]!, rows[2]!]))[0]).toContain("1 seed each, spread unknown");
});

test("networks that differ in anything but L2 are not compared; unfinished ones neither", () => {
  const [a, b] = [final(sn, 1, 0.7), final(noL2, 1, 0.6)];
  expect(findings(networksOf([a, b]))).toEqual([
    "resnet18 leaky L2 60: AUROC of the Gaussian mixture 0.700 on CIFAR-100 and 0.750 on my photos; accuracy 0.900 (1 seed).",
    "resnet18 sn+leaky noL2 60: AUROC of the Gaussian mixture 0.600 on CIFAR-100 and 0.750 on my photos; accuracy 0.900 (1 seed).",
  ]);
  expect(differenceTables(networksOf([a, b]))).toEqual([]);
  expect(findings(networksOf([row(l2Normalize, 1, 3), row(noL2, 1, 2)]))).toEqual([]);
});

test("differences: a table a pair, a line a set and score, and accuracy, with the ranges of both", () => {
  const rows = [final(l2Normalize, 1, 0.7), final(l2Normalize, 2, 0.66), final(noL2, 1, 0.68, 0.8), final(noL2, 2, 0.67, 0.8)];
  const [table, ...others] = differenceTables(networksOf(rows));
  expect(others).toEqual([]);
  expect(table!.caption).toContain("resnet18 sn+leaky 60:");
  expect(table!.rows).toEqual([
    ["CIFAR-100", "AUROC, gaussian-mixture", "+0.005", "0.680 (0.660–0.700)", "0.675 (0.670–0.680)", "overlap"],
    ["my photos", "AUROC, gaussian-mixture", "0.000", "0.750 (0.750–0.750)", "0.750 (0.750–0.750)", "overlap"],
    ["CIFAR-10", "accuracy", "+0.100", "0.900 (0.900–0.900)", "0.800 (0.800–0.800)", "apart"],
  ]);
});

test("what rounds to nothing is level, in sentence and table", () => {
  const networks = networksOf([final(l2Normalize, 1, 0.7), final(noL2, 1, 0.6996, 0.9 - 1e-16, 0.75 + 1e-16)]);
  expect(findings(networks)[0]).toContain(
    "L2 is level on CIFAR-100 (0.700 against 0.700, 1 seed each, spread unknown) and level on my photos",
  );
  expect(differenceTables(networks)[0]!.rows.map((cells) => [cells[2], cells.at(-1)])).toEqual(Array(3).fill(["0.000", "unknown"]));
});

test("networks near guessing are named, by the number of classes", () => {
  const networks = networksOf([final(l2Normalize, 1, 0.52, 0.3), final(noL2, 1, 0.52, 0.41)]);
  expect(weakNetworks(networks, undefined)).toEqual([
    "resnet18 sn+leaky L2 60 names the class of 30 % of the test images; guessing names 10 %.",
  ]);
  expect(weakNetworks(networks, 2)).toHaveLength(2);
  expect(weakNetworks(networks, 1000)).toEqual([
    "resnet18 sn+leaky L2 60 names the class of 30 % of the test images; guessing names 0.1 %.",
  ]);
});

const made = { at: "2026-01-02T03:04:05.678Z", machine: "A processor, 2 cores, linux x64", device: "cpu", threads: 2, node: "v22.0.0" };
const told: HeaderRow = {
  ...header,
  configuration: { classNames: ["cat", "dog"], conformed: { mnist: [1, 28, 28] }, resized: { mnist: { mode: "squash", kernel: "k" } } },
  made: { ...made, command: "libtorch-ood experiment run table1 --data 'my data'" },
};

test("when, where and how; older results say less", () => {
  const rows = [
    row(l2Normalize, 1, 3, { at: "2026-01-02T05:00:00.000Z" }),
    row(l2Normalize, 1, 6, { at: "2026-01-03T00:30:00.000Z", seconds: { training: 4000, measurement: 30 } }),
  ];
  const facts = Object.fromEntries(reportContents({ header: told, rows }).facts);
  expect(facts).toMatchObject({
    Begun: "2026-01-02 03:04 UTC",
    "Last row": "2026-01-03 00:30 UTC",
    "Time taken": "1 h 7 min of training, 31 s of measuring",
    Machine: "A processor, 2 cores, linux x64",
    Device: "cpu, 2 threads",
    "Images made of another form": "MNIST (from 28×28×1, squash, k)",
    "To repeat it": "libtorch-ood experiment run table1 --data 'my data'",
  });
  const older = reportContents({ header, rows: [row(l2Normalize, 1, 6)] }).facts.map(([name]) => name);
  expect(older).toEqual(["Time taken", "Versions", "Preset", "Configuration"]);
});

test("sets from image files are named with what became of their images, the set in distribution once", () => {
  const by = { mode: "center-crop", kernel: "k" };
  const configuration = { inDistribution: "mine", conformed: {}, resized: { train: by, validation: by, test: by, "my photos": by } };
  const facts = Object.fromEntries(reportContents({ header: { ...header, configuration }, rows: [row(l2Normalize, 1, 6)] }).facts);
  expect(facts["Images made of another form"]).toBe(
    "mine (from image files, center-crop, k); my photos (from image files, center-crop, k)",
  );
});

test("an intervention whose phases are done is not under way", () => {
  const stopped = cell({ name: "intervention", l2Normalize: false, paperEpochs: 350, epochs: 10 });
  const part = [row(stopped, 1, 3, { final: true }), row(stopped, 1, 5, { phase: "nc-loss", final: true })];
  const whole = [...part, row(stopped, 1, 5, { phase: "control", final: true })];
  const states = [part, whole].map((rows) => reportContents({ header, rows }).runs.rows[0]!.slice(4, 6));
  expect(states).toEqual([
    ["none", "seed 1 at epoch 5"],
    ["1", "–"],
  ]);
});

test("figures show finished runs, and say which are left out; with none finished they show what there is", () => {
  const short = epochs(1, 6).flatMap((epoch) => [row(l2Normalize, 1, epoch), row(noL2, 1, epoch)]);
  const long = cell({ name: "resnet18 sn+leaky noL2 350", l2Normalize: false, paperEpochs: 350, epochs: 35 });
  const half = epochs(1, 18).map((epoch) => row(long, 2, epoch));
  const figure7 = (rows: readonly MeasurementRow[]) => reportContents({ header, rows }).figures.find(({ id }) => id === "figure7")!;
  const shown = figure7([...short, ...half]);
  expect(shown.panels[0]!.series.map(({ name }) => name)).toEqual([l2Normalize, noL2].map(({ name }) => `${name} (scaled)`));
  expect(shown.caption).toContain("Unfinished runs are left out: resnet18 sn+leaky noL2 350 (scaled), seed 2, at epoch 18.");
  expect(figure7(half).panels[0]!.series).toHaveLength(1);
});

test("Figure 8 names the classes", () => {
  const planar = row(cell({ featureDim: 2 }), 1, 6, { samples: samples("2-D", true) });
  const of = (from: HeaderRow) =>
    reportContents({ header: from, rows: [planar] }).figures.find(({ id }) => id === "figure8")!.panels[0]!.series;
  expect(of(told).slice(0, 3).map(({ name }) => name)).toEqual(["cat", "dog", "class 2"]); // prettier-ignore
  expect(of(header)[0]).toMatchObject({ name: "class 0", named: true });
});
