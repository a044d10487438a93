// Groups the rows of an experiment by network (all seeds of one cell), for tables and figures.

import { metrics } from "../../index";
import type { Cell, MeasurementRow, Phase } from "../rows";
import { cellKey } from "./read-results";

/** All rows of one cell, by seed and epoch. */
export interface Network {
  readonly cell: Cell;
  /** The cell's name, with "(scaled)" where it is smaller than the paper's, and unlike that of any other network. */
  readonly label: string;
  readonly inDistribution: string;
  /** What was made smaller, of any of its rows. */
  readonly scaled: readonly string[];
  readonly rows: readonly MeasurementRow[];
}

const phases: readonly Phase[] = ["training", "nc-loss", "control"];

/** In the order in which the cells first appear. */
export function networksOf(rows: readonly MeasurementRow[]): Network[] {
  const taken = new Map<string, number>();
  return [...groupBy(rows, cellKey).values()].map((ofCell) => {
    const { cell, inDistribution } = ofCell[0] as MeasurementRow;
    const scaled = [...new Set(ofCell.flatMap((row) => row.scaled))];
    const name = scaled.length > 0 ? `${cell.name} (scaled)` : cell.name;
    const times = (taken.get(name) ?? 0) + 1;
    taken.set(name, times);
    const sorted = [...ofCell].sort((a, b) => a.seed - b.seed || phases.indexOf(a.phase) - phases.indexOf(b.phase) || a.epoch - b.epoch);
    return { cell, label: times === 1 ? name : `${name} [${times}]`, inDistribution, scaled, rows: sorted };
  });
}

/** Rows of one phase, of all seeds. */
export function rowsOf(network: Network, phase: Phase): MeasurementRow[] {
  return network.rows.filter((row) => row.phase === phase);
}

/** One row a seed: after the whole schedule. Training that stopped early for an intervention (Fig. 4) is not among them. */
export function trained(network: Network): MeasurementRow[] {
  return rowsOf(network, "training").filter((row) => row.final && row.epoch === network.cell.epochs);
}

/** Seeds whose rows are all there: to the schedule's end, or to that of the last phase of an intervention. */
export function finishedSeeds(network: Network): Set<number> {
  const ends = [...trained(network), ...rowsOf(network, "control").filter((row) => row.final)];
  return new Set(ends.map((row) => row.seed));
}

/** Names of the out-of-distribution sets of any row, in the order of the paper's tables, then the others as they come. */
export function oodNames(rows: readonly MeasurementRow[]): string[] {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row.ood)))];
  const place = (name: string): number => (setOrder.includes(name) ? setOrder.indexOf(name) : setOrder.length);
  return names.sort((a, b) => place(a) - place(b));
}

const setOrder = ["svhn", "cifar100", "tiny-imagenet"];

const setTitles = new Map([
  ["svhn", "SVHN"],
  ["cifar10", "CIFAR-10"],
  ["cifar100", "CIFAR-100"],
  ["tiny-imagenet", "Tiny ImageNet"],
  ["mnist", "MNIST"],
  ["fashion-mnist", "Fashion-MNIST"],
  ["kmnist", "KMNIST"],
]);

/** Name of a set as the paper writes it; any other name unchanged. */
export function setTitle(name: string): string {
  return setTitles.get(name) ?? name;
}

/** One number of several runs. */
export interface Spread extends metrics.Summary {
  /** Runs whose number is NaN: their loss diverged, or the measure is not defined there. They are in none of the other fields. */
  readonly undefinedIn: number;
}

/** Undefined where no value is finite. */
export function spread(values: readonly number[]): Spread | undefined {
  const finite = values.filter(Number.isFinite);
  return finite.length === 0 ? undefined : { ...metrics.summary(finite), undefinedIn: values.length - finite.length };
}

export function groupBy<T, K>(items: Iterable<T>, key: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group === undefined) groups.set(key(item), [item]);
    else group.push(item);
  }
  return groups;
}
