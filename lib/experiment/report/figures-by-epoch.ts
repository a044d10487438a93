// Makes figures 3, 4, 5 and 7, which show measurements by epoch.

import { metrics } from "../../index";
import paper from "../paper-tables.json";
import { featureMixture } from "../measured-scores";
import type { MeasurementRow, Phase } from "../rows";
import { acrossSeeds, seedsText, styles, type DotPoint, type Figure, type LinePoint, type Panel, type Series } from "./figure";
import { groupBy, oodNames, rowsOf, setTitle, type Network } from "./networks";
import { numberText } from "./numbers";

/** Fig. 3: EA of the class means against the AUROC of the Gaussian mixture, one dot a measurement of training without L2. */
export function figure3(networks: readonly Network[]): Figure | undefined {
  const shown = networks.filter((network) => !network.cell.l2Normalize && epochsOf(network, "training") >= 3);
  const style = styles();
  const table: string[][] = [];
  const panels = setsOf(shown).flatMap((set): Panel[] => {
    const series = shown.flatMap((network): Series[] => {
      const points = rowsOf(network, "training").flatMap((row): DotPoint[] => {
        const y = row.ood[set]?.[featureMixture]?.auroc;
        const x = row.collapse.eaMeans;
        return y === undefined || !Number.isFinite(x) ? [] : [{ x, y, title: `${network.label}, seed ${row.seed}, epoch ${row.epoch}` }];
      });
      if (points.length === 0) return [];
      const r = correlation(points);
      const correlationText = r === undefined ? "undefined" : numberText(r);
      const differs = unlikeFigure3(network);
      const printed = differs === "" ? numberText(paper.figure3.pearsonR) : "–";
      table.push([setTitle(set), network.label, String(points.length), correlationText, printed, differs || "nothing"]);
      return [{ name: network.label, style: style(network.label), mark: "dots", points }];
    });
    return some(series, { title: setTitle(set), x: { label: "EA of class means" }, y: { label: "AUROC" } });
  });
  return figure(panels, {
    id: "figure3",
    title: "Figure 3",
    caption: `Equiangularity of the class means against AUROC of the Gaussian mixture, a dot for each measurement of ${seedsText(shown)}, without L2. The paper prints r = ${numberText(paper.figure3.pearsonR)} for 15 seeds of a ResNet18, every tenth epoch of 350.`,
    table: {
      caption: "Pearson's r of EA of class means and AUROC",
      head: ["Set", "Network", "Measurements", "r ours", "r printed", "Unlike the paper's in"],
      rows: table,
    },
  });
}

/** In what points are not those of the paper, whose r then says nothing of ours. */
function unlikeFigure3({ cell, inDistribution, scaled, rows }: Network): string {
  const seeds = new Set(rows.map((row) => row.seed)).size;
  return [
    inDistribution !== "cifar10" && `trained on ${setTitle(inDistribution)}`,
    (cell.depth !== 18 || !cell.spectralNorm || !cell.avgPoolShortcut || cell.featureDim !== undefined) && "architecture",
    cell.width !== 1 && `width ${cell.width}`,
    cell.epochs !== 350 && `${cell.epochs} epochs, not 350`,
    seeds !== 15 && `${seeds} ${seeds === 1 ? "seed" : "seeds"}, not 15`,
    scaled.length > 0 && "scale",
  ]
    .filter((text) => text !== false)
    .join("; ");
}

/** Pearson's r; undefined for fewer than two points, or where one axis does not vary. */
export function correlation(points: readonly { x: number; y: number }[]): number | undefined {
  const x = points.map((point) => point.x);
  const y = points.map((point) => point.y);
  const varies = (values: number[]): boolean => values.some((value) => value !== values[0]);
  return varies(x) && varies(y) ? metrics.pearson(x, y) : undefined;
}

/** Fig. 4: AUROC under NC loss and under cross entropy, less the AUROC of the same network before it. */
export function figure4(networks: readonly Network[]): Figure | undefined {
  const shown = networks.filter((network) => network.rows.some((row) => row.phase !== "training"));
  const style = styles();
  const { interventionPeakGain, interventionPeakEpoch, controlGainAtThatEpoch, controlMaxGainIn20Epochs } = paper.figure4;
  const table: string[][] = [];
  const panels = shown.flatMap((network) =>
    setsOf([network]).flatMap((set): Panel[] => {
      const treated = auroc(network, "nc-loss", set);
      const control = auroc(network, "control", set);
      const series = (
        [
          ["NC loss", treated],
          ["Control: cross entropy", control],
        ] as const
      ).flatMap(([name, points]): Series[] => (points.length < 2 ? [] : [{ name, style: style(name), mark: "line", points, dots: true }]));
      if (series.length > 0) table.push([setTitle(set), network.label, ...peaks(treated, control)]);
      const title = shown.length === 1 ? setTitle(set) : `${setTitle(set)}, ${network.label}`;
      return some(series, { title, x: { label: "Epochs since the intervention", whole: true }, y: { label: "AUROC gain" } });
    }),
  );
  const scaled = shown.some((network) => network.scaled.length > 0) ? " Scaled runs." : "";
  return figure(panels, {
    id: "figure4",
    title: "Figure 4",
    caption: `AUROC gained by NC loss in place of cross entropy, against a control group: mean and range of ${seedsText(shown)}.${scaled} Printed: epoch 50 of a ResNet18 without L2, 20 further epochs.`,
    table: {
      caption: "Gain in AUROC",
      head: ["Set", "Network", "Largest with NC loss", "at epoch", "Control at that epoch", "Largest of control"],
      rows: [
        [
          "printed",
          "ResNet18, no L2",
          numberText(interventionPeakGain),
          String(interventionPeakEpoch),
          numberText(controlGainAtThatEpoch),
          numberText(controlMaxGainIn20Epochs),
        ],
        ...table,
      ],
    },
  });
}

/** Largest mean gain, its epoch, the control's there, and the control's largest. */
function peaks(treated: readonly LinePoint[], control: readonly LinePoint[]): string[] {
  const largest = (points: readonly LinePoint[]) =>
    points.reduce<LinePoint | undefined>((a, b) => (a === undefined || b.y > a.y ? b : a), undefined);
  const text = (point: LinePoint | undefined): string => (point === undefined ? "not run" : numberText(point.y));
  const after = (points: readonly LinePoint[]) => points.filter((point) => point.x > 0);
  const peak = largest(after(treated));
  return [
    text(peak),
    peak === undefined ? "–" : String(peak.x),
    text(control.find((point) => point.x === peak?.x)),
    text(largest(after(control))),
  ];
}

/** Gain by epochs since the intervention, from 0 at the intervention itself. */
function auroc(network: Network, phase: Phase, set: string): LinePoint[] {
  return acrossSeeds(sinceIntervention(network, phase, (row) => row.ood[set]?.[featureMixture]?.auroc));
}

function sinceIntervention(network: Network, phase: Phase, value: (row: MeasurementRow) => number | undefined): [number, number][] {
  const bySeed = groupBy(network.rows, (row) => row.seed);
  return [...bySeed.values()].flatMap((rows) => {
    const later = rows.filter((row) => row.phase === phase);
    const start = interventionStart(rows, later);
    const before = start === undefined ? undefined : value(start);
    if (start === undefined || before === undefined) return [];
    return [start, ...later].flatMap((row): [number, number][] => {
      const now = value(row);
      return now === undefined ? [] : [[row.epoch - start.epoch, now - before]];
    });
  });
}

/** Where training stopped for the phase; the same cell may also have been trained to its end. Rows are those of one seed, by epoch. */
function interventionStart(rows: readonly MeasurementRow[], later: readonly MeasurementRow[]): MeasurementRow | undefined {
  const first = later[0];
  if (first === undefined) return undefined;
  const before = rows.filter((row) => row.phase === "training" && row.epoch < first.epoch);
  return before.filter((row) => row.final).at(-1) ?? before.at(-1);
}

/** Fig. 5: OoD images among the top |ID test| scores, by epoch. */
export function figure5(networks: readonly Network[]): Figure | undefined {
  const style = styles();
  const shown = networks.filter((network) => epochsOf(network, "training") >= 2 || network.rows.some((row) => row.phase === "nc-loss"));
  const sets = setsOf(shown);
  const count = (set: string) => (row: MeasurementRow) => row.ood[set]?.[featureMixture]?.falsePositives;
  const panels = sets.flatMap((set): Panel[] => {
    const series = shown.flatMap((network) =>
      (["training", "nc-loss", "control"] as const).flatMap((phase): Series[] => {
        const points = acrossSeeds(phaseRows(network, phase).map((row) => [row.epoch, count(set)(row) ?? NaN]));
        const name = phase === "training" ? network.label : `${network.label}, ${phase === "control" ? "control" : "NC loss"}`;
        return points.length < 2 ? [] : [{ name, style: style(name), mark: "line", points, dots: true }];
      }),
    );
    return some(series, { title: setTitle(set), x: { label: "Epoch", whole: true }, y: { label: "False positives" } });
  });
  const { ncLossExtraIn20Epochs, l2Extra60to150, noL2Extra350to500 } = paper.figure5;
  const ours = (extra: (set: string) => LinePoint[]): string[] => sets.map((set) => extraText(extra(set)));
  const scaled = shown.some((network) => network.scaled.length > 0) ? " (scaled)" : "";
  const table = [
    [
      "NC loss, 20 epochs",
      String(ncLossExtraIn20Epochs),
      ...ours((set) => shown.flatMap((n) => lastOf(sinceIntervention(n, "nc-loss", count(set))))),
    ],
    ["L2, epochs 60 to 150", String(l2Extra60to150), ...ours((set) => beyond(shown, true, 60, 150, count(set)))],
    ["No L2, epochs 350 to 500", String(noL2Extra350to500), ...ours((set) => beyond(shown, false, 350, 500, count(set)))],
  ];
  return figure(panels, {
    id: "figure5",
    title: "Figure 5",
    caption: `False positives by epoch: out-of-distribution images among the top |ID test| scores of the Gaussian mixture, mean and range of ${seedsText(shown)}.`,
    table: {
      caption: "False positives added",
      head: ["From", "Printed", ...sets.map((set) => `${setTitle(set)}, ours${scaled}`)],
      rows: table,
    },
  });
}

/** The rows of a phase; those after an intervention begin with the measurement that it starts from. */
function phaseRows(network: Network, phase: Phase): MeasurementRow[] {
  if (phase === "training") return rowsOf(network, phase);
  return [...groupBy(network.rows, (row) => row.seed).values()].flatMap((rows) => {
    const later = rows.filter((row) => row.phase === phase);
    const start = interventionStart(rows, later);
    return start === undefined ? [] : [start, ...later];
  });
}

function extraText(points: readonly LinePoint[]): string {
  return points.length === 0 ? "not run" : points.map((point) => numberText(point.y, 1)).join("; ");
}

function lastOf(values: [number, number][]): LinePoint[] {
  return acrossSeeds(values).slice(-1);
}

/** What training on from the schedule's end adds: from the last measurement up to there to the last of all, in the schedule as it was scaled. */
function beyond(
  networks: readonly Network[],
  l2Normalize: boolean,
  end: number,
  paperEpochs: number,
  value: (row: MeasurementRow) => number | undefined,
): LinePoint[] {
  const matching = networks.filter(({ cell }) => cell.l2Normalize === l2Normalize && cell.paperEpochs === paperEpochs);
  return matching.flatMap(({ cell, rows }) => {
    const scheduleEnd = Math.round((end / paperEpochs) * cell.epochs);
    const extra = [...groupBy(rows, (row) => row.seed).values()].flatMap((ofSeed): [number, number][] => {
      const training = ofSeed.filter((row) => row.phase === "training");
      const from = training.filter((row) => row.epoch <= scheduleEnd).at(-1);
      const to = training.at(-1);
      const before = from && value(from);
      const after = to && value(to);
      return before === undefined || after === undefined || from === to ? [] : [[cell.epochs, after - before]];
    });
    return acrossSeeds(extra);
  });
}

const measures = [
  ["nc1", "NC1: within-class variability"],
  ["enMeans", "NC2: EN of class means"],
  ["enClassifier", "NC2: EN of the classifier"],
  ["eaMeans", "NC2: EA of class means"],
  ["eaClassifier", "NC2: EA of the classifier"],
  ["nc3", "NC3: self-duality"],
  ["nc4", "NC4: nearest class mean"],
] as const;

/** Fig. 7: the measures of neural collapse, by epoch. */
export function figure7(networks: readonly Network[]): Figure | undefined {
  const style = styles();
  const shown = networks.filter((network) => epochsOf(network, "training") >= 2);
  const panels = measures.flatMap(([measure, title]): Panel[] => {
    const series = shown.flatMap((network): Series[] => {
      const points = acrossSeeds(rowsOf(network, "training").map((row) => [row.epoch, row.collapse[measure]]));
      return points.length === 0 ? [] : [{ name: network.label, style: style(network.label), mark: "line", points, dots: true }];
    });
    // NC4 is a share that reaches 0.
    return some(series, {
      title,
      x: { label: "Epoch", whole: true },
      y: { label: measure === "nc4" ? "NC4" : "", log: measure !== "nc4" },
    });
  });
  return figure(panels, {
    id: "figure7",
    title: "Figure 7",
    caption: `Neural collapse on the training set by epoch (lower is more collapsed): mean and range of ${seedsText(shown)}. All axes but NC4's are logarithmic.`,
    table: undefined,
  });
}

function epochsOf(network: Network, phase: Phase): number {
  return new Set(rowsOf(network, phase).map((row) => row.epoch)).size;
}

function setsOf(networks: readonly Network[]): string[] {
  return oodNames(networks.flatMap((network) => network.rows));
}

function some(series: readonly Series[], panel: Omit<Panel, "series">): Panel[] {
  return series.length === 0 ? [] : [{ ...panel, series }];
}

function figure(panels: readonly Panel[], rest: Omit<Figure, "panels">): Figure | undefined {
  return panels.length === 0 ? undefined : { ...rest, panels };
}
