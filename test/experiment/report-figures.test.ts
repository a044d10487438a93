// Figures: every series is what the rows say, computed here a second time and by other means.

import {
  acrossSeeds,
  describePanel,
  drawable,
  type Bar,
  type DotPoint,
  type Figure,
  type LinePoint,
  type Series,
} from "../../lib/experiment/report/figure";
import { correlation, figure3, figure4, figure5, figure7 } from "../../lib/experiment/report/figures-by-epoch";
import { figure6, figure8, histogramFigure, histograms, rocFigure } from "../../lib/experiment/report/figures-of-features";
import { linearTicks, logTicks } from "../../lib/experiment/report/draw";
import { networksOf } from "../../lib/experiment/report/networks";
import { numberText } from "../../lib/experiment/report/numbers";
import type { MeasurementRow } from "../../lib/experiment/rows";
import { auroc } from "../../lib/metrics/auroc";
import { cell, epochs, everyRow, row, samples } from "./report-rows";

const rows = everyRow();
const networks = networksOf(rows);
const named = (name: string, phase = "training") => rows.filter((one) => one.cell.name === name && one.phase === phase);
const noL2 = "resnet18 sn+leaky no L2 500";
const withL2 = "resnet18 sn+leaky L2 150";

function lines(figure: Figure, panel: number): Record<string, readonly LinePoint[]> {
  return Object.fromEntries(figure.panels[panel]!.series.map((series) => [series.name, series.points as LinePoint[]]));
}

/** Both seeds by hand: their mean and range. */
function overSeeds(of: readonly MeasurementRow[], value: (one: MeasurementRow) => number): LinePoint[] {
  const ofSeed = (seed: number) => of.filter((one) => one.seed === seed);
  return ofSeed(1).map((one, i) => {
    const [a, b] = [value(one), value(ofSeed(2)[i]!)];
    return { x: one.epoch, y: (a + b) / 2, low: Math.min(a, b), high: Math.max(a, b) };
  });
}

const close = (points: readonly LinePoint[]) =>
  points.map(({ x, y, low, high }) => ({ x, y: expect.closeTo(y, 12), low: expect.closeTo(low, 12), high: expect.closeTo(high, 12) }));

test("Figure 3: a dot a measurement without L2; the printed r is not set beside points of another network, and it says in what they differ", () => {
  const figure = figure3(networks)!;
  expect(figure.panels.map(({ title }) => title)).toEqual(["SVHN", "CIFAR-100", "Tiny ImageNet"]);
  figure.panels.forEach(({ series }, i) => {
    const set = (["svhn", "cifar100", "tiny-imagenet"] as const)[i]!;
    expect(series.map(({ name }) => name)).toEqual([`${noL2} (scaled)`]);
    const points = (series[0]!.points as DotPoint[]).map(({ x, y }) => [x, y]);
    expect(points).toEqual(named(noL2).map((one) => [one.collapse.eaMeans, one.ood[set]["gaussian-mixture"]!.auroc]));
    const r = numberText(correlation(points.map(([x, y]) => ({ x: x!, y: y! })))!);
    expect(figure.table!.rows[i]).toEqual([
      expect.anything(),
      `${noL2} (scaled)`,
      "20",
      r,
      "–",
      "10 epochs, not 350; 2 seeds, not 15; scale",
    ]);
  });
});

test("Pearson's r: known values; none where one axis does not vary", () => {
  expect(correlation([1, 2, 3].map((x) => ({ x, y: 5 - 2 * x })))).toBeCloseTo(-1, 15);
  expect(correlation([{ x: 0, y: 0 }, { x: 1, y: 1 }, { x: 2, y: 0 }])).toBeCloseTo(0, 15); // prettier-ignore
  expect(correlation([1, 1].map((x, y) => ({ x, y })))).toBeUndefined();
  expect(correlation([])).toBeUndefined();
});

test("Figure 4: gains over the network that the intervention began with", () => {
  const figure = figure4(networks)!;
  const start = named("intervention");
  const gain = (one: MeasurementRow) =>
    one.ood.svhn["gaussian-mixture"]!.auroc - start.find(({ seed }) => seed === one.seed)!.ood.svhn["gaussian-mixture"]!.auroc;
  const expected = (phase: string) => [
    { x: 0, y: 0, low: 0, high: 0 },
    ...close(overSeeds(named("intervention", phase), gain)).map((point) => ({ ...point, x: point.x - 3 })),
  ];
  expect(lines(figure, 0)).toEqual({ "NC loss": expected("nc-loss"), "Control: cross entropy": expected("control") });
  const treated = lines(figure, 0)["NC loss"]!.slice(1);
  const peak = treated.reduce((a, b) => (b.y > a.y ? b : a));
  const control = lines(figure, 0)["Control: cross entropy"]!;
  expect(figure.table!.rows[0]).toEqual(["printed", "ResNet18, no L2", "0.038", "2", "0.008", "0.017"]);
  expect(figure.table!.rows[1]).toEqual([
    "SVHN",
    "intervention (scaled)",
    numberText(peak.y),
    String(peak.x),
    numberText(control[peak.x]!.y),
    numberText(Math.max(...control.slice(1).map(({ y }) => y))),
  ]);
});

test("Figure 5: false positives by epoch; what is added beyond the schedule", () => {
  const figure = figure5(networks)!;
  const count = (one: MeasurementRow) => one.ood.svhn["gaussian-mixture"]!.falsePositives;
  const start = named("intervention");
  expect(lines(figure, 0)).toEqual({
    [`${noL2} (scaled)`]: close(overSeeds(named(noL2), count)),
    [`${withL2} (scaled)`]: close(overSeeds(named(withL2), count)),
    "intervention (scaled), NC loss": close(overSeeds([...start, ...named("intervention", "nc-loss")], count)),
    "intervention (scaled), control": close(overSeeds([...start, ...named("intervention", "control")], count)),
  });
  const added = (name: string, from: number, to: number) => {
    const at = (epoch: number) => overSeeds(named(name), count)[epoch - 1]!.y;
    return numberText(at(to) - at(from), 1);
  };
  // 60 of 150 epochs are 6 of 15; 350 of 500 are 7 of 10.
  expect(figure.table!.rows.map((line) => line.slice(0, 3))).toEqual([
    [
      "NC loss, 20 epochs",
      "500",
      numberText(overSeeds(named("intervention", "nc-loss"), count).at(-1)!.y - overSeeds(start, count)[0]!.y, 1),
    ],
    ["L2, epochs 60 to 150", "54", added(withL2, 6, 15)],
    ["No L2, epochs 350 to 500", "20", added(noL2, 7, 10)],
  ]);
  expect(figure.table!.head[2]).toBe("SVHN, ours (scaled)");
});

test("Figure 6: singular values of each set by index", () => {
  const figure = figure6(networks)!;
  const name = "resnet18 sn+leaky L2 60";
  const panel = figure.panels.findIndex(({ title }) => title === `${name} (scaled)`);
  const ofBoth = named(name).filter((one) => one.singularValues !== undefined);
  const expected = (set: string) =>
    ofBoth[0]!.singularValues![set]!.map((a, i) => {
      const b = ofBoth[1]!.singularValues![set]![i]!;
      return { x: i + 1, y: (a + b) / 2, low: Math.min(a, b), high: Math.max(a, b) };
    });
  expect(lines(figure, panel)).toEqual({
    "CIFAR-10, training": close(expected("train")),
    "CIFAR-10, test": close(expected("test")),
    SVHN: close(expected("svhn")),
  });
});

test("Figure 7: each measure by epoch", () => {
  const figure = figure7(networks)!;
  const measures = ["nc1", "enMeans", "enClassifier", "eaMeans", "eaClassifier", "nc3", "nc4"] as const;
  expect(figure.panels).toHaveLength(measures.length);
  measures.forEach((measure, i) => {
    const value = (one: MeasurementRow) => one.collapse[measure];
    expect(lines(figure, i)).toEqual({
      [`${noL2} (scaled)`]: close(overSeeds(named(noL2), value)),
      [`${withL2} (scaled)`]: close(overSeeds(named(withL2), value)),
    });
  });
});

test("Figure 8: the features of the first seed, by class and by set", () => {
  const figure = figure8(networks)!;
  const points = samples("2-D", true);
  expect(figure.panels.map(({ title }) => title)).toEqual(["CIFAR-10", "SVHN", "CIFAR-100"].map((set) => `${set}, 2-D features (scaled)`));
  const at = (series: Series) => (series.points as DotPoint[]).map(({ x, y }) => [x, y]);
  const { features, labels } = points["test"]!;
  figure.panels[0]!.series.forEach((series, label) => {
    expect(series.name).toBe(`class ${label}`);
    expect(at(series)).toEqual(features!.filter((_, i) => labels![i] === label));
  });
  expect(figure.panels[0]!.series).toHaveLength(10);
  expect(figure.panels[1]!.series.map(at)).toEqual([features, points["svhn"]!.features]);
  expect(figure.panels[2]!.series.map(at)).toEqual([features, points["cifar100"]!.features]);
});

test("ROC curves: their area is the AUROC of the samples", () => {
  const figure = rocFigure(networks)!;
  const points = samples("2-D", true);
  Object.entries({ SVHN: "svhn", "CIFAR-100": "cifar100" }).forEach(([title, set], i) => {
    const curve = lines(figure, 0)[title]!;
    const area = curve.slice(1).reduce((sum, { x, y }, k) => sum + ((x - curve[k]!.x) * (y + curve[k]!.y)) / 2, 0);
    const expected = auroc(points["test"]!.logDensity, points[set]!.logDensity);
    expect(area).toBeCloseTo(expected, 12);
    const ofAll = named("2-D features")[0]!.ood[set]!["gaussian-mixture"]!.auroc;
    expect(figure.table!.rows[i]).toEqual(["2-D features (scaled)", "1", title, numberText(expected), numberText(ofAll)]);
  });
});

test("histograms: every image is in one bin, whose edges it lies between", () => {
  const figure = histogramFigure(networks)!;
  const points = samples("2-D", true);
  Object.values(points).forEach(({ logDensity }, i) => {
    const bars = figure.panels[0]!.series[i]!.points as Bar[];
    expect(bars.reduce((sum, { y }) => sum + y, 0)).toBeCloseTo(1, 12);
    bars.slice(1, -1).forEach(({ x1, x2, y }) => {
      // Values at an edge may fall on either side of it by rounding; none of these does.
      expect(y * logDensity.length).toBeCloseTo(logDensity.filter((value) => value >= x1 && value < x2).length, 9);
    });
  });
  // A single very low density is in the first bin, and does not widen it.
  const low = histograms([[...Array.from({ length: 99 }, (_, i) => i), -1e14]])[0]!;
  expect(low[0]!.x1).toBeGreaterThanOrEqual(-1);
  expect(low.reduce((sum, { y }) => sum + y, 0)).toBeCloseTo(1, 12);
  expect(histograms([[5, 5]])[0]!.reduce((sum, { y }) => sum + y, 0)).toBe(1);
});

test("what no row can fill is no figure", () => {
  const finals = networksOf([row(cell(), 1, 6), row(cell({ l2Normalize: false }), 1, 6)]);
  for (const figure of [figure3, figure4, figure5, figure6, figure7, figure8, rocFigure, histogramFigure]) {
    expect(figure(finals)).toBeUndefined();
    expect(figure([])).toBeUndefined();
  }
  const highDimensional = networksOf([row(cell(), 1, 6, { samples: samples("more", false) })]);
  expect(figure8(highDimensional)).toBeUndefined();
  expect(rocFigure(highDimensional)).toBeDefined();
});

test("an intervention that has only begun is shown as far as it is", () => {
  const stopped = cell({ name: "intervention", l2Normalize: false, epochs: 10 });
  const begun = networksOf([row(stopped, 1, 3, { final: true }), row(stopped, 1, 4, { phase: "nc-loss" })]);
  const figure = figure4(begun)!;
  expect(figure.panels[0]!.series.map(({ name }) => name)).toEqual(["NC loss"]);
  expect(figure.table!.rows[1]!.slice(4)).toEqual(["not run", "not run"]);
});

test("an intervention of a cell that was also trained to its end is measured from where it began", () => {
  const both = cell({ l2Normalize: false, paperEpochs: 350, epochs: 10 });
  const seed = [row(both, 1, 2), row(both, 1, 3, { final: true }), row(both, 1, 10), row(both, 1, 5, { phase: "nc-loss" })];
  const gains = figure4(networksOf(seed))!.panels[0]!.series[0]!.points as LinePoint[];
  const value = (i: number) => seed[i]!.ood.svhn["gaussian-mixture"]!.auroc;
  expect(gains.map(({ x, y }) => [x, y])).toEqual([
    [0, 0],
    [2, value(3) - value(1)],
  ]);
});

test("points that an axis cannot show are left out, and no others", () => {
  const point = (y: number) => ({ x: 1, y, low: y, high: y });
  const axes = { x: { label: "" }, y: { label: "", log: true } };
  expect(drawable([point(0), point(1), point(-1)], axes)).toEqual([point(1)]);
  expect(drawable([point(0), point(-1)], { x: { label: "" }, y: { label: "" } })).toHaveLength(2);
  expect(acrossSeeds([[2, 1], [1, NaN], [1, 3], [0, NaN]])).toEqual([{ x: 1, y: 3, low: 3, high: 3 }, point(1)].map((p, i) => ({ ...p, x: i + 1 }))); // prettier-ignore
});

test("ticks of a logarithmic axis", () => {
  expect(logTicks(0.03, 3)).toEqual([0.05, 0.1, 0.2, 0.5, 1, 2]);
  expect(logTicks(1e-3, 1e3)).toEqual([1e-3, 1e-2, 0.1, 1, 10, 100, 1000]);
  expect(logTicks(3.1, 3.2)).toEqual([3.1, 3.12, 3.14, 3.16, 3.18, 3.2]);
  expect(logTicks(0.2942, 0.6846)).toEqual([0.3, 0.4, 0.5, 0.6]);
});

test("ticks of whole numbers", () => {
  expect(linearTicks(0, 1, 1)).toEqual([0, 1]);
  expect(linearTicks(1, 2, 1)).toEqual([1, 2]);
  expect(linearTicks(1, 20, 1)).toEqual([5, 10, 15, 20]);
  expect(linearTicks(0, 350, 1)).toEqual([0, 100, 200, 300]);
  expect(linearTicks(-0.31, 0.29)).toEqual([-0.3, -0.2, -0.1, 0, 0.1, 0.2]);
});

test("a panel in words names its axes, its series and their ranges", () => {
  const words = describePanel(figure5(networks)!.panels[0]!);
  expect(words).toMatch(/^False positives by Epoch\. resnet18 sn\+leaky no L2 500 \(scaled\): 10 points, \d+\.\d+ to \d+\.\d+; /);
  expect(epochs(1, 3)).toEqual([1, 2, 3]);
});
