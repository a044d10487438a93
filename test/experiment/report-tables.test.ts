// The paper's tables: printed numbers are those of paper-tables.json, ours the summary of the rows that belong to the cell, and only those.

import paper from "../../lib/experiment/paper-tables.json";
import { networksOf } from "../../lib/experiment/report/networks";
import { meanText, numberText, rangeText } from "../../lib/experiment/report/numbers";
import { collapseTable, detectionTable, runsTable } from "../../lib/experiment/report/plain-tables";
import { paperTables, type ComparisonTable } from "../../lib/experiment/report/tables";
import type { MeasuredScore } from "../../lib/experiment/measured-scores";
import type { MeasurementRow } from "../../lib/experiment/rows";
import { summary } from "../../lib/metrics/summary";
import { cell, everyRow, row } from "./report-rows";

const rows = everyRow();
const networks = networksOf(rows);
const { tables, notRun } = paperTables(networks);
const table = (id: string): ComparisonTable => tables.find((one) => one.id === id)!;
const finals = rows.filter(
  (one) => one.final && one.epoch === one.cell.epochs && one.phase === "training" && one.cell.featureDim === undefined,
);
const is18 =
  (epochs: number, l2Normalize: boolean, avgPoolShortcut = true, spectralNorm = true) =>
  (one: MeasurementRow) =>
    one.cell.depth === 18 &&
    one.cell.paperEpochs === epochs &&
    one.cell.l2Normalize === l2Normalize &&
    one.cell.avgPoolShortcut === avgPoolShortcut &&
    one.cell.spectralNorm === spectralNorm;

test("all tables whose cells were run, and the names of the others", () => {
  expect(tables.map(({ title }) => title)).toEqual([
    "Table 1, ResNet18",
    "Table 1, ResNet50",
    "Table 2",
    "Table 3",
    "Table 4 (b), ResNet18",
    "Table 4 (b), ResNet50",
    "Table 5, ResNet18",
    "Table 5, ResNet50",
    "Table 6, ResNet18",
  ]);
  expect(notRun).toEqual(["Table 6, ResNet50"]);
});

const sets = ["svhn", "cifar100", "tiny-imagenet"] as const;
const scored: [string, "table1" | "table4b" | "table5", MeasuredScore][] = [
  ["table1-resnet18", "table1", "gaussian-mixture"],
  ["table4b-resnet18", "table4b", "max-softmax"],
  ["table5-resnet18", "table5", "gaussian-mixture:logits"],
];

test.each(scored)("%s: every cell", (id, key, score) => {
  const columns = [
    ["noL2-350", is18(350, false)],
    ["noL2-60", is18(60, false)],
    ["L2-60", is18(60, true)],
  ] as const;
  expect(table(id).columns).toEqual(["no L2, 350 epochs", "no L2, 60 epochs", "L2, 60 epochs"]);
  sets.forEach((set, i) =>
    columns.forEach(([column, belongs], j) => {
      const { printed, ours } = table(id).rows[i]!.entries[j]!;
      const { min, max, mean, pm } = paper[key].resnet18[set][column];
      expect(printed).toEqual({ min, max, mean, sd: pm });
      const values = finals.filter(belongs).map((one) => one.ood[set][score]!.auroc);
      expect(values).toHaveLength(2);
      expect(ours).toEqual([
        { ...summary(values), undefinedIn: 0, label: expect.stringContaining("(scaled)"), scaled: true, unlike: false },
      ]);
    }),
  );
});

test("accuracy is the last row of Tables 1 and 6", () => {
  const { head, entries } = table("table1-resnet18").rows[3]!;
  expect(head).toBe("Accuracy");
  expect(entries[2]!.printed.mean).toBe(paper.table1.resnet18.accuracy["L2-60"].mean);
  expect(entries[2]!.ours[0]).toMatchObject(summary(finals.filter(is18(60, true)).map((one) => one.accuracy)));
  expect(table("table6-resnet18").rows[3]!.entries[0]!.printed.sd).toBe(paper.table6.resnet18.accuracy["L2-350"].pm);
});

test("Tables 2 and 3: every row has its own switches", () => {
  table("table2").rows.forEach(({ entries }, i) => {
    const { spectralNorm, avgPoolShortcut, l2Normalize, auroc, accuracy } = paper.table2.rows[i]!;
    const belonging = finals.filter(is18(60, l2Normalize, avgPoolShortcut, spectralNorm));
    expect(entries.map(({ printed }) => printed.mean)).toEqual([auroc.mean, accuracy.mean]);
    expect(entries[0]!.ours[0]).toMatchObject(summary(belonging.map((one) => one.ood.svhn["gaussian-mixture"]!.auroc)));
    expect(entries[1]!.ours[0]).toMatchObject(summary(belonging.map((one) => one.accuracy)));
  });
  const fields = {
    nc1: "nc1",
    nc2EaMeans: "eaMeans",
    nc2EaClassifier: "eaClassifier",
    nc2EnMeans: "enMeans",
    nc2EnClassifier: "enClassifier",
    nc3: "nc3",
    nc4: "nc4",
  } as const;
  table("table3").rows.forEach(({ entries }, i) => {
    const printed = paper.table3.rows[i]!;
    const belonging = finals.filter(is18(printed.epochs, printed.l2Normalize, printed.avgPoolShortcut, printed.spectralNorm));
    Object.entries(fields).forEach(([theirs, ours], j) => {
      const { mean, sd } = printed[theirs as keyof typeof fields];
      expect(entries[j]!.printed).toEqual({ mean, sd, min: undefined, max: undefined });
      expect(entries[j]!.ours[0]).toMatchObject(summary(belonging.map((one) => one.collapse[ours])));
    });
  });
  expect(table("table2").rows).toHaveLength(8);
  expect(table("table3").rows).toHaveLength(9);
});

test("no cell takes a row that is not its own", () => {
  const foreign = [
    row(cell(), 1, 5), // not the end of the schedule
    row(cell(), 2, 3, { final: true }), // stopped for an intervention
    row(cell(), 3, 6, { phase: "nc-loss" }),
    row(cell({ featureDim: 2, name: "2-D" }), 4, 6),
    row(cell(), 5, 6, { inDistribution: "mnist" }),
  ];
  expect(paperTables(networksOf(foreign))).toMatchObject({ tables: [] });
  expect(paperTables([]).notRun).toHaveLength(10);
});

test("two networks that the paper does not tell apart stand side by side in one cell, never in one mean", () => {
  const both = networksOf([row(cell(), 1, 6), row(cell({ batchSize: 1024 }), 1, 6, { scaled: [] })]);
  const { ours } = paperTables(both).tables[0]!.rows[0]!.entries[2]!;
  expect(ours.map(({ count, label, scaled }) => [count, label, scaled])).toEqual([
    [1, "resnet18 sn+leaky L2 60 (scaled)", true],
    [1, "resnet18 sn+leaky L2 60", false],
  ]);
});

test("an undefined measure is counted, and is in no mean", () => {
  const collapse = row(cell(), 1, 6).collapse;
  const some = networksOf([row(cell(), 1, 6), row(cell(), 2, 6, { collapse: { ...collapse, nc1: NaN } })]);
  const [entry] = paperTables(some).tables.find(({ id }) => id === "table3")!.rows[7]!.entries;
  expect(entry!.ours[0]).toMatchObject({ count: 1, mean: collapse.nc1, undefinedIn: 1 });
  expect(collapseTable(some).rows[0]![2]).toBe(`${collapse.nc1.toFixed(3)} (undefined in 1)`);
});

test("runs: finished seeds, and how far the others are", () => {
  const [first] = runsTable(networksOf([row(cell(), 1, 6), row(cell(), 2, 4), row(cell(), 2, 3)])).rows;
  expect(first).toEqual([
    "resnet18 sn+leaky L2 60 (scaled)",
    "CIFAR-10",
    "6 (4, 5)",
    "128",
    "1",
    "seed 2 at epoch 4",
    "epochs 6 of 60; 20000 training images",
  ]);
});

test("all results: every network, set and score", () => {
  const detection = detectionTable(networks).rows;
  const finished = networks.filter((network) => network.label !== "intervention (scaled)");
  expect(detection).toHaveLength(finished.length * 3 * 3);
  const values = finals.filter(is18(60, true)).map((one) => one.ood.svhn["gaussian-mixture"]!.fpr95);
  const line = detection.find(
    ([network, set, score]) => network === "resnet18 sn+leaky L2 60 (scaled)" && set === "SVHN" && score === "gaussian-mixture",
  )!;
  expect(line[6]).toBe(meanText(summary(values)));
  expect(line.at(-1)).toBe("2");
  expect(collapseTable(networks).rows).toHaveLength(finished.length);
});

test("numbers as the paper writes them", () => {
  expect(meanText({ mean: 0.9384, sd: 0.0101 })).toBe("0.938 ± 0.010");
  expect(meanText({ mean: 0.9384, sd: NaN })).toBe("0.938");
  expect(meanText({ mean: 0, sd: 0 })).toBe("0.000 ± 0.000");
  expect(meanText({ mean: 0.000023, sd: 0.0000014 })).toBe("2.3e−5 ± 1.4e−6");
  expect(numberText(-0.894)).toBe("−0.894");
  expect(rangeText({ min: 0.9, max: undefined })).toBeUndefined();
});

test("a cell that is not the paper's though nothing was scaled goes by its name beside the printed numbers", () => {
  const narrow = cell({ name: "resnet18 sn+leaky L2 60 width 0.25", width: 0.25, batchSize: 1024 });
  const usual = cell({ width: 1, batchSize: 1024 });
  const oursOf = (of: typeof narrow) =>
    paperTables(networksOf([row(of, 1, 6, { scaled: [] })])).tables[0]!.rows[0]!.entries.flatMap(({ ours }) => ours);
  expect(oursOf(narrow)).toMatchObject([{ label: narrow.name, scaled: false, unlike: true }]);
  expect(oursOf(usual)).toMatchObject([{ scaled: false, unlike: false }]);
});
