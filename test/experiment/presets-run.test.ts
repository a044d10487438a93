// Every preset of the paper from its configuration to its rows, on data sets of some dozen images.

import { readdirSync } from "node:fs";
import { experimentPresets, type ExperimentPresetName } from "../../lib/experiment/presets";
import * as experiments from "../../lib/experiment";
import type { ExperimentSummary } from "../../lib/experiment";
import type { MeasurementRow } from "../../lib/experiment/rows";
import { checkRow } from "../../lib/experiment/row-checks";
import { temporaryDirectory } from "../support/temporary-directory";
import { useOneThread } from "../models/resnet/tiny-network";
import { readers, readRows, tiny } from "./tiny-experiment";

const folder = temporaryDirectory();
useOneThread();

const presets = Object.keys(experimentPresets) as ExperimentPresetName[];
const started = new Map<ExperimentPresetName, string[]>();
const summaries = new Map<ExperimentPresetName, ExperimentSummary>();
let rows: MeasurementRow[] = [];

// All in one folder, one after the other, so that what presets have in common is run once.
beforeAll(async () => {
  for (const preset of presets) {
    const names: string[] = [];
    const configuration = { ...experimentPresets[preset], seeds: 1, scale: { ...tiny, epochs: { run: 1, of: 60 } } };
    const summary = await experiments.run(configuration, {
      ...{ data: "", out: folder.path("all"), readers, preset },
      onProgress: (event) => event.type === "started" && names.push(event.run.planned.cell.name),
    });
    started.set(preset, names);
    summaries.set(preset, summary);
  }
  rows = readRows(folder.path("all")).rows;
}, 300_000);

const of = (name: string, phase = "training") => rows.filter((row) => row.cell.name === name && row.phase === phase);

it("every preset ends with all its rows", () => {
  for (const [preset, { finished, failed }] of summaries) {
    expect([preset, failed]).toEqual([preset, []]);
    expect([preset, finished.length]).toEqual([preset, expect.any(Number)]);
    expect(finished.length).toBeGreaterThan(0);
  }
  expect(readdirSync(folder.path("all/checkpoints"))).toEqual([]);
  expect(readdirSync(folder.path("all/leases"))).toEqual([]);
});

it("cells in common are run once", () => {
  expect(started.get("table1")).toHaveLength(6);
  expect(started.get("table2")).toHaveLength(6); // of 8: two are in table1
  expect(started.get("table3")).toEqual([]);
  expect(started.get("table4")).toHaveLength(2);
  expect(started.get("table5")).toEqual([]);
  expect(started.get("table6")).toEqual([]);
  expect(started.get("figure6")).toEqual([]);
  expect(new Set(rows.map((row) => JSON.stringify([row.cell, row.phase, row.epoch]))).size).toBe(rows.length);
});

it("every row is labelled as scaled, and its numbers are numbers", () => {
  for (const row of rows) {
    expect(() => checkRow(row)).not.toThrow(); // the report takes it
    expect(row.scaled).toEqual(expect.arrayContaining([expect.stringMatching(/^epochs \d+ of \d+$/), "batch size 64 in place of 1024"]));
    expect(row.scaled).toContain("width 0.0625 in place of 1");
    expect(Object.keys(row.ood).sort()).toEqual(["cifar100", "svhn", "tiny-imagenet"]);
    for (const scores of Object.values(row.ood)) {
      expect(Object.keys(scores).sort()).toEqual(["gaussian-mixture", "gaussian-mixture:logits", "max-softmax"]);
      for (const { auroc, auprIn, auprOut, fpr95, falsePositives } of Object.values(scores)) {
        for (const share of [auroc, auprIn, auprOut, fpr95]) expect(share >= 0 && share <= 1).toBe(true);
        expect(falsePositives >= 0 && falsePositives <= 60).toBe(true);
      }
    }
    for (const number of Object.values(row.collapse)) expect(Number.isFinite(number)).toBe(true);
    expect(Object.keys(row.collapse).sort()).toEqual(["eaClassifier", "eaMeans", "enClassifier", "enMeans", "nc1", "nc3", "nc4", "rank"]);
    expect(row.seconds.training).toBeGreaterThan(0);
    expect(row.singularValues !== undefined).toBe(row.final);
    expect(row.samples !== undefined).toBe(row.final);
  }
});

it("figures that follow training have a row for every epoch of theirs", () => {
  expect(of("resnet18 sn+leaky noL2 350").map(({ epoch }) => epoch).sort()).toEqual([1, 2, 3, 4, 5, 6]); // prettier-ignore
  expect(of("resnet18 sn+leaky noL2 500").map(({ epoch }) => epoch)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(of("resnet18 sn+leaky L2 150").map(({ epoch, final }) => [epoch, final])).toEqual([[1, false], [2, false], [3, true]]); // prettier-ignore
});

it("an intervention goes on from where training stopped, in two ways", () => {
  for (const phase of ["nc-loss", "control"]) {
    expect(of("resnet18 sn+leaky noL2 350", phase).map(({ epoch, final, learningRate }) => [epoch, final, learningRate])).toEqual([
      [2, true, 0.01],
    ]);
  }
  const [collapse, control] = ["nc-loss", "control"].map((phase) => of("resnet18 sn+leaky noL2 350", phase)[0] as MeasurementRow);
  expect(collapse?.loss).not.toBe(control?.loss);
});

it("final rows have what the figures of features are drawn from", () => {
  const [flat] = of("resnet18 sn+leaky L2 60 2-D");
  expect(flat?.singularValues?.train).toHaveLength(2);
  expect(flat?.samples?.test?.features).toHaveLength(60);
  expect(flat?.samples?.test?.labels).toHaveLength(60);
  for (const point of flat?.samples?.test?.features ?? []) expect(Math.hypot(...(point as [number, number]))).toBeCloseTo(1, 5); // L2
  const [wide] = of("resnet18 sn+leaky L2 60");
  expect(wide?.samples?.svhn?.features).toBeUndefined();
  expect(wide?.samples?.svhn?.logDensity).toHaveLength(50);
  expect(Object.keys(wide?.singularValues ?? {})).toEqual(["train", "test", "svhn", "cifar100", "tiny-imagenet"]);
});
