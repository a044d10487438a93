// Makes figures 6 and 8, ROC curves and histograms, which show the features and log densities of a trained network.

import { metrics } from "../../index";
import { featureMixture } from "../measured-scores";
import type { MeasurementRow, SampledPoints } from "../rows";
import {
  acrossSeeds,
  outsideStyle,
  quietStyle,
  seedsText,
  styles,
  type Bar,
  type DotPoint,
  type Figure,
  type LinePoint,
  type Panel,
  type Series,
} from "./figure";
import { groupBy, rowsOf, setTitle, trained, type Network } from "./networks";
import { numberText } from "./numbers";

/** Fig. 6: singular values of the training features, and of the other sets projected on their right singular vectors. */
export function figure6(networks: readonly Network[]): Figure | undefined {
  const style = styles();
  // The two values of Fig. 8's networks are no spectrum.
  const shown = networks.filter((network) => network.cell.featureDim !== 2 && lastWith(network, "singularValues").length > 0);
  const panels = shown.map((network): Panel => {
    const rows = lastWith(network, "singularValues");
    const names = [...new Set(rows.flatMap((row) => Object.keys(row.singularValues ?? {})))];
    const series = names.map((set): Series => {
      const values = rows.flatMap((row) => (row.singularValues?.[set] ?? []).map((value, i) => [i + 1, value] as const));
      const name = seenTitle(network, set);
      return { name, style: style(name), mark: "line", points: acrossSeeds(values), dots: true };
    });
    return { title: network.label, x: { label: "Index", whole: true }, y: { label: "Singular value", log: true }, series };
  });
  if (panels.length === 0) return undefined;
  return {
    id: "figure6",
    title: "Figure 6",
    caption: `Singular values of the features, not centred, of the last measurement: mean and range of ${seedsText(shown)}. Sets other than the training set are projected on its right singular vectors.`,
    panels,
    table: undefined,
  };
}

/** Fig. 8: features of two dimensions; in colour by class, the sets that are out of distribution over the in-distribution one in grey. */
export function figure8(networks: readonly Network[], classNames?: readonly string[]): Figure | undefined {
  const className = (label: number): string => classNames?.[label] ?? `class ${label}`;
  const panels = withSamples(networks).flatMap(({ network, row, inDistribution, outOfDistribution }): Panel[] => {
    const within = planar(inDistribution, className);
    if (within === undefined) return [];
    const others = outOfDistribution.flatMap(([set, points]) => {
      const features = planar(points, (label) => `class ${label}`);
      return features === undefined ? [] : [{ set, features }];
    });
    const domain = extent([within, ...others.map(({ features }) => features)].flat().flatMap(({ x, y }) => [x, y]));
    const axes = { x: { label: "Feature 1", domain }, y: { label: "Feature 2", domain }, square: true };
    const title = (set: string): string => `${setTitle(set)}, ${network.label}`;
    const labels = inDistribution.labels;
    const byClass = [...groupBy(within.keys(), (i) => labels?.[i] ?? 0)].sort(([a], [b]) => a - b);
    const classes = byClass.map(([label, members]): Series => {
      const points = members.map((i) => within[i] as DotPoint);
      if (labels === undefined) return { name: setTitle(row.inDistribution), style: label, mark: "dots", points };
      return { name: className(label), style: label, mark: "dots", points, named: true };
    });
    const behind: Series = { name: setTitle(row.inDistribution), style: quietStyle, mark: "dots", points: within };
    return [
      { ...axes, title: title(row.inDistribution), series: classes },
      ...others.map(({ set, features }): Panel => {
        const series: Series[] = [behind, { name: "out of distribution", style: outsideStyle, mark: "dots", points: features }];
        return { ...axes, title: title(set), series };
      }),
    ];
  });
  if (panels.length === 0) return undefined;
  return {
    id: "figure8",
    title: "Figure 8",
    caption:
      "Feature spaces of two dimensions, evenly chosen images of one seed: the in-distribution set by class, then each other set over it.",
    panels,
    table: undefined,
  };
}

/** ROC curves of the sampled log densities, in-distribution positive. */
export function rocFigure(networks: readonly Network[]): Figure | undefined {
  const style = styles();
  const table: string[][] = [];
  const panels = withSamples(networks).flatMap(({ network, row, inDistribution, outOfDistribution }): Panel[] => {
    const series = outOfDistribution.flatMap(([set, { logDensity }]): Series[] => {
      if (inDistribution.logDensity.length === 0 || logDensity.length === 0) return [];
      const { falsePositiveRate, truePositiveRate } = metrics.rocCurve(inDistribution.logDensity, logDensity);
      const points = Array.from(falsePositiveRate, (x, i): LinePoint => {
        const y = truePositiveRate[i] as number;
        return { x, y, low: y, high: y };
      });
      const ofAll = row.ood[set]?.[featureMixture]?.auroc;
      const ofSample = numberText(metrics.auroc(inDistribution.logDensity, logDensity));
      table.push([network.label, String(row.seed), setTitle(set), ofSample, ofAll === undefined ? "–" : numberText(ofAll)]);
      return [{ name: setTitle(set), style: style(setTitle(set)), mark: "line", points, dots: false }];
    });
    const unit = [0, 1] as const;
    const x = { label: "False positive rate", domain: unit };
    const y = { label: "True positive rate", domain: unit };
    return series.length === 0 ? [] : [{ title: panelTitle(network, row), x, y, square: true, series }];
  });
  if (panels.length === 0) return undefined;
  return {
    id: "roc",
    title: "ROC curves",
    caption: "Log density of the Gaussian mixture, in-distribution images as the positive class, of evenly chosen images of one seed.",
    panels,
    table: { caption: "AUROC", head: ["Network", "Seed", "Set", "of the images drawn", "of all images"], rows: table },
  };
}

/** Histograms of the sampled log densities. */
export function histogramFigure(networks: readonly Network[]): Figure | undefined {
  const style = styles();
  const panels = withSamples(networks).flatMap(({ network, row }): Panel[] => {
    const sets = Object.entries(row.samples ?? {}).filter(([, { logDensity }]) => logDensity.length > 0);
    const bars = histograms(sets.map(([, { logDensity }]) => logDensity));
    const series = sets.map(([set], i): Series => {
      const name = seenTitle(network, set);
      return { name, style: style(name), mark: "bars", points: bars[i] as Bar[] };
    });
    return [{ title: panelTitle(network, row), x: { label: "Log density" }, y: { label: "Share of images" }, series }];
  });
  if (panels.length === 0) return undefined;
  return {
    id: "histograms",
    title: "Score histograms",
    caption: "Log density of the Gaussian mixture, of evenly chosen images of one seed. The first bar also counts what is below it.",
    panels,
    table: undefined,
  };
}

const binCount = 30;

/**
 * Share of each set in bins that are common to all. They begin at the lowest fiftieth of any one set (a few images of very low density
 * would squeeze the others into one bin), and the first bin takes in what is below.
 */
export function histograms(sets: readonly (readonly number[])[]): Bar[][] {
  const low = Math.min(...sets.map((values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 50)] as number));
  const high = sets.reduce((most, values) => values.reduce((a, b) => Math.max(a, b), most), -Infinity);
  const width = high > low ? (high - low) / binCount : Math.max(1, Math.abs(low)) / binCount;
  return sets.map((values) => {
    const counts = new Array<number>(binCount).fill(0);
    for (const value of values) {
      const bin = Math.min(binCount - 1, Math.max(0, Math.floor((value - low) / width)));
      counts[bin] = (counts[bin] as number) + 1;
    }
    return counts.map((count, i) => ({ x1: low + i * width, x2: low + (i + 1) * width, y: count / values.length }));
  });
}

interface Sampled {
  readonly network: Network;
  readonly row: MeasurementRow;
  readonly inDistribution: SampledPoints;
  readonly outOfDistribution: readonly (readonly [string, SampledPoints])[];
}

/** The last sampled measurement of the first seed that has one: log densities of different networks cannot be put together. */
function withSamples(networks: readonly Network[]): Sampled[] {
  return networks.flatMap((network): Sampled[] => {
    const row = lastWith(network, "samples")[0];
    const inDistribution = row?.samples?.["test"];
    if (row?.samples === undefined || inDistribution === undefined) return [];
    return [
      { network, row, inDistribution, outOfDistribution: Object.entries(row.samples).filter(([set]) => Object.hasOwn(row.ood, set)) },
    ];
  });
}

/** The two parts of the in-distribution set go by what they are for. */
function seenTitle({ inDistribution }: Network, name: string): string {
  if (name === "train") return `${setTitle(inDistribution)}, training`;
  return name === "test" ? `${setTitle(inDistribution)}, test` : setTitle(name);
}

/** The last measurement of each seed's training that has the field; if any seed has one after the whole schedule, only those. */
function lastWith(network: Network, field: "singularValues" | "samples"): MeasurementRow[] {
  const has = (row: MeasurementRow): boolean => row[field] !== undefined;
  const finals = trained(network).filter(has);
  const rows = finals.length > 0 ? finals : rowsOf(network, "training").filter(has);
  return [...groupBy(rows, (row) => row.seed).values()].map((ofSeed) => ofSeed.at(-1) as MeasurementRow);
}

function panelTitle(network: Network, row: MeasurementRow): string {
  return `${network.label}, seed ${row.seed}, epoch ${row.epoch}`;
}

/** Undefined where the features have not two dimensions. */
function planar({ features, labels }: SampledPoints, className: (label: number) => string): DotPoint[] | undefined {
  if (features === undefined || features.some((feature) => feature.length !== 2)) return undefined;
  return features.map(([x, y], i) => ({
    x: x as number,
    y: y as number,
    title: labels === undefined ? `image ${i}` : className(labels[i] as number),
  }));
}

function extent(values: readonly number[]): [number, number] {
  return values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
}
