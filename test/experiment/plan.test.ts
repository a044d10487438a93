// What is run: cells of the presets beside the paper's tables, scaling, names, patterns.

import { resolveConfiguration, type Configuration } from "../../lib/experiment/configuration";
import { cellKey, planOf } from "../../lib/experiment/plan";
import { experimentPreset, experimentPresets, type ExperimentPresetName } from "../../lib/experiment/presets";
import { libraryFailureOf } from "../models/resnet/tiny-network";

const plan = (configuration: Configuration, only?: string[]) => planOf(resolveConfiguration(configuration, "it"), only);
const names = (preset: ExperimentPresetName) => plan(experimentPresets[preset]).cells.map(({ cell }) => cell.name);
const base = { inDistribution: "cifar10", outOfDistribution: ["svhn"], seeds: 2 } as const;

describe("presets", () => {
  const table1 = [
    ...["resnet18 sn+leaky noL2 350", "resnet18 sn+leaky noL2 60", "resnet18 sn+leaky L2 60"],
    ...["resnet50 sn+leaky noL2 350", "resnet50 sn+leaky noL2 100", "resnet50 sn+leaky L2 100"],
  ];
  const ablations = ["plain", "leaky", "sn", "sn+leaky"].flatMap((s) => [`resnet18 ${s} noL2 60`, `resnet18 ${s} L2 60`]);

  it("have the cells of the paper's tables and figures", () => {
    expect(names("table1")).toEqual(table1);
    expect(names("table2")).toEqual(ablations);
    expect(names("table3")).toEqual([...ablations, "resnet18 sn+leaky noL2 350"]);
    expect(names("table4")).toEqual([...table1, "resnet18 sn+leaky L2 350", "resnet50 sn+leaky L2 350"]);
    expect(names("table5")).toEqual(table1);
    expect(names("table6")).toEqual(names("table4"));
    expect(names("figure5")).toEqual(["resnet18 sn+leaky L2 150", "resnet18 sn+leaky noL2 500"]);
    expect(names("figure8")).toEqual(["resnet18 sn+leaky L2 60 2-D", "resnet18 sn+leaky noL2 60 2-D"]);
  });

  it("have the paper's schedules", () => {
    const cells = new Map(plan(experimentPresets.table1).cells.map(({ cell }) => [cell.name, cell]));
    expect(cells.get("resnet18 sn+leaky L2 60")).toMatchObject({ epochs: 60, milestones: [40, 50], batchSize: 1024, width: 1 });
    expect(cells.get("resnet50 sn+leaky L2 100")).toMatchObject({ epochs: 100, milestones: [75, 90] });
    expect(cells.get("resnet18 sn+leaky noL2 350")).toMatchObject({ epochs: 350, milestones: [150, 250] });
    expect(plan(experimentPresets.table1).seeds).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    const [figure3] = plan(experimentPresets.figure3).cells;
    expect(figure3?.measuredAt).toEqual(Array.from({ length: 35 }, (_, i) => 10 * (i + 1)));
    const [figure4] = plan(experimentPresets.figure4).cells;
    expect(figure4?.measuredAt.at(-1)).toBe(50);
    expect(figure4?.cell).toMatchObject({ epochs: 350, milestones: [150, 250] });
    expect(figure4?.intervention).toMatchObject({ epochs: 20, learningRate: 0.01, milestones: [10], batchSize: 2048 });
    const [overtrained] = plan(experimentPresets.figure5).cells;
    expect(overtrained?.cell).toMatchObject({ epochs: 150, milestones: [40, 50] });
    expect(overtrained?.measuredAt).toContain(60);
  });

  it("share equal cells and are not scaled", () => {
    const keys = (preset: ExperimentPresetName) => plan(experimentPresets[preset]).cells.map(({ cell }) => cellKey(cell));
    expect(keys("table3")).toEqual(expect.arrayContaining(keys("table1").slice(0, 3)));
    expect(keys("table6")).toEqual(expect.arrayContaining(keys("table1")));
    for (const preset of Object.values(experimentPresets)) for (const { scaled } of plan(preset).cells) expect(scaled).toEqual([]);
  });

  it("are listed where another is asked for", async () => {
    const error = await libraryFailureOf(() => experimentPreset("table9"));
    expect(error).toMatchObject({ code: "ERR_OPTION", message: expect.stringContaining("table1, table2") });
  });
});

describe("scaling", () => {
  const scaled = (preset: ExperimentPresetName, run: number) =>
    plan({ ...experimentPresets[preset], scale: { epochs: { run, of: 60 } } }).cells;

  it("keeps the proportions of schedules, milestones and measurements", () => {
    const [long, short] = scaled("table1", 6);
    expect(short?.cell).toMatchObject({ paperEpochs: 60, epochs: 6, milestones: [4, 5] });
    expect(long?.cell).toMatchObject({ paperEpochs: 350, epochs: 35, milestones: [15, 25] });
    expect(short?.scaled).toEqual(["epochs 6 of 60"]);
    expect(scaled("figure3", 6)[0]?.measuredAt).toEqual(Array.from({ length: 35 }, (_, i) => i + 1));
    expect(scaled("figure4", 6)[0]).toMatchObject({ intervention: { epochs: 2, milestones: [1], batchSize: 2048 } });
    expect(scaled("figure4", 6)[0]?.measuredAt.at(-1)).toBe(5);
  });

  it("drops milestones that a short schedule has no room for", () => {
    expect(scaled("table1", 1)[1]?.cell).toMatchObject({ epochs: 1, milestones: [] });
    expect(scaled("table1", 3)[1]?.cell).toMatchObject({ epochs: 3, milestones: [2] });
  });

  it("labels whatever is smaller", () => {
    const training = { precision: "bfloat16" } as const;
    const [cell] = plan({
      ...{ ...base, training, subset: { train: 20_000, test: 100 } },
      ...{
        scale: { batchSize: 128, width: 0.5 },
        cells: [{ depth: 18, l2Normalize: true, epochs: 60, intervention: { epoch: 50, epochs: 20 } }],
      },
    }).cells;
    expect(cell?.scaled).toEqual([
      ...["batch size 128 in place of 1024", "width 0.5 in place of 1", "20000 training images"],
      ...["100 images of each test set", "bfloat16 convolutions"],
    ]);
    expect(cell?.cell).toMatchObject({ batchSize: 128, width: 0.5 });
    expect(cell?.intervention?.batchSize).toBe(256);
  });
});

describe("cells", () => {
  it("are chosen by part of a name, or by a pattern of all of it", async () => {
    const chosen = (only: string[]) => plan(experimentPresets.table1, only).cells.map(({ cell }) => cell.name);
    expect(chosen(["resnet18*60"])).toEqual(["resnet18 sn+leaky noL2 60", "resnet18 sn+leaky L2 60"]);
    expect(chosen(["resnet50"])).toHaveLength(3);
    expect(chosen(["* L2 60", "noL2 100"])).toEqual(["resnet18 sn+leaky L2 60", "resnet50 sn+leaky noL2 100"]);
    const error = await libraryFailureOf(() => plan(experimentPresets.table1, ["resnet34"]));
    expect(error.message).toContain("resnet18 sn+leaky noL2 350; ");
  });

  it("of the same name that differ are refused, equal ones are run once", async () => {
    const cell = { depth: 18, l2Normalize: true, epochs: 60 } as const;
    expect(plan({ ...base, cells: [cell, { ...cell, milestones: [] }] }).runs).toHaveLength(2);
    const error = await libraryFailureOf(() => plan({ ...base, cells: [cell, { ...cell, milestones: [30] }] }));
    expect(error).toMatchObject({ code: "ERR_OPTION", message: expect.stringContaining("resnet18 sn+leaky L2 60") });
    expect(
      plan({ ...base, cells: [cell, { ...cell, batchSize: 128 }, { ...cell, width: 2 }] }).cells.map((planned) => planned.cell.name),
    ).toEqual([...["resnet18 sn+leaky L2 60", "resnet18 sn+leaky L2 60 batch 128", "resnet18 sn+leaky L2 60 width 2"]]);
  });

  it("keep their key through a file", () => {
    for (const { cell } of plan(experimentPresets.figure8).cells) expect(cellKey(JSON.parse(JSON.stringify(cell)))).toBe(cellKey(cell));
    for (const { cell } of plan(experimentPresets.table1).cells) expect(cellKey(JSON.parse(JSON.stringify(cell)))).toBe(cellKey(cell));
  });
});
