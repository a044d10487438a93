// Makes the paper's tables, with each printed number beside the same number of the rows.

import paper from "../paper-tables.json";
import { featureMixture, logitMixture, maxSoftmax, type MeasuredScore } from "../measured-scores";
import type { Cell, MeasurementRow } from "../rows";
import { setTitle, spread, trained, type Network, type Spread } from "./networks";

/** A number as the paper prints it; ± is a standard deviation (ddof 1) over 15 seeds. */
export interface Printed {
  readonly mean: number;
  readonly min: number | undefined;
  readonly max: number | undefined;
  readonly sd: number | undefined;
}

/** The same number of one of our networks. */
export interface Ours extends Spread {
  readonly label: string;
  readonly scaled: boolean;
  /** Whether the cell is not the paper's although nothing was scaled; the network then appears under its label. */
  readonly unlike: boolean;
}

export interface TableEntry {
  readonly printed: Printed;
  /** Empty where it was not run; several where networks differ in what the paper does not vary, such as the batch size. */
  readonly ours: readonly Ours[];
}

export interface ComparisonTable {
  readonly id: string;
  /** "Table 1, ResNet18". */
  readonly title: string;
  readonly caption: string;
  readonly rowHeading: string;
  readonly columns: readonly string[];
  readonly rows: readonly { readonly head: string; readonly entries: readonly TableEntry[] }[];
}

/** All tables of the paper that have a number in the rows, and the titles of the others. */
export function paperTables(networks: readonly Network[]): { tables: ComparisonTable[]; notRun: string[] } {
  const cifar10 = networks.filter((network) => network.inDistribution === "cifar10" && network.cell.featureDim === undefined);
  const all = [
    ...bySet(
      "table1",
      "Table 1",
      `${paper.table1.title}: AUROC by out-of-distribution set, and accuracy`,
      paper.table1,
      featureMixture,
      cifar10,
    ),
    ablation(cifar10),
    collapse(cifar10),
    ...bySet("table4b", "Table 4 (b)", `${paper.table4b.title}; Table 4 (a) is Tables 1 and 6`, paper.table4b, maxSoftmax, cifar10),
    ...bySet("table5", "Table 5", paper.table5.title, paper.table5, logitMixture, cifar10),
    ...bySet(
      "table6",
      "Table 6",
      "Overtraining with L2 normalisation: the column that it adds to Table 1",
      paper.table6,
      featureMixture,
      cifar10,
    ),
  ];
  const isRun = (table: ComparisonTable): boolean => table.rows.some((row) => row.entries.some((entry) => entry.ours.length > 0));
  return { tables: all.filter(isRun), notRun: all.filter((table) => !isRun(table)).map((table) => table.title) };
}

interface PrintedSpread {
  readonly min?: number;
  readonly max?: number;
  readonly mean: number;
  readonly pm?: number;
  readonly sd?: number;
}

/** By set, then by column: "L2-60" is L2 normalisation and 60 epochs. */
type PrintedSets = Readonly<Record<string, Readonly<Record<string, PrintedSpread>>>>;

/** Tables 1, 4 (b), 5 and 6: AUROC of one score by set, a table for each depth. */
function bySet(
  id: string,
  title: string,
  caption: string,
  printed: { readonly resnet18: PrintedSets; readonly resnet50: PrintedSets },
  score: MeasuredScore,
  networks: readonly Network[],
): ComparisonTable[] {
  return ([18, 50] as const).map((depth) => {
    const sets = printed[`resnet${depth}`];
    const columns = Object.keys(Object.values(sets)[0] as PrintedSets[string]);
    const rows = Object.entries(sets).map(([set, numbers]) => ({
      head: set === "accuracy" ? "Accuracy" : setTitle(set),
      entries: columns.map((column) => {
        const [l2, epochs] = column.split("-") as [string, string];
        const wanted = { depth, spectralNorm: true, avgPoolShortcut: true, l2Normalize: l2 === "L2", paperEpochs: Number(epochs) };
        const value = (row: MeasurementRow) => (set === "accuracy" ? row.accuracy : row.ood[set]?.[score]?.auroc);
        return entry(numbers[column] as PrintedSpread, networks, wanted, value);
      }),
    }));
    const heads = columns.map((column) => column.replace("noL2-", "no L2, ").replace("L2-", "L2, ") + " epochs");
    return { id: `${id}-resnet${depth}`, title: `${title}, ResNet${depth}`, caption, rowHeading: "Set", columns: heads, rows };
  });
}

function ablation(networks: readonly Network[]): ComparisonTable {
  const rows = paper.table2.rows.map(({ auroc, accuracy, ...switches }) => {
    const wanted = { depth: 18, ...switches, paperEpochs: 60 } as const;
    return {
      head: switchesText(switches),
      entries: [
        entry(auroc, networks, wanted, (row) => row.ood["svhn"]?.[featureMixture]?.auroc),
        entry(accuracy, networks, wanted, (row) => row.accuracy),
      ],
    };
  });
  return {
    id: "table2",
    title: "Table 2",
    caption: paper.table2.title,
    rowHeading: "Switches",
    columns: ["AUROC, SVHN", "Accuracy"],
    rows,
  };
}

const collapseColumns = [
  ["NC1", "nc1", "nc1"],
  ["NC2 EA means", "nc2EaMeans", "eaMeans"],
  ["NC2 EA classifier", "nc2EaClassifier", "eaClassifier"],
  ["NC2 EN means", "nc2EnMeans", "enMeans"],
  ["NC2 EN classifier", "nc2EnClassifier", "enClassifier"],
  ["NC3", "nc3", "nc3"],
  ["NC4", "nc4", "nc4"],
] as const;

function collapse(networks: readonly Network[]): ComparisonTable {
  const rows = paper.table3.rows.map((printed) => {
    const { spectralNorm, avgPoolShortcut, l2Normalize, epochs } = printed;
    const wanted = { depth: 18, spectralNorm, avgPoolShortcut, l2Normalize, paperEpochs: epochs } as const;
    return {
      head: `${switchesText(printed)}, ${epochs} epochs`,
      entries: collapseColumns.map(([, theirs, field]) => entry(printed[theirs], networks, wanted, (row) => row.collapse[field])),
    };
  });
  const columns = collapseColumns.map(([head]) => head);
  return { id: "table3", title: "Table 3", caption: paper.table3.title, rowHeading: "Network", columns, rows };
}

export function switchesText({
  spectralNorm,
  avgPoolShortcut,
  l2Normalize,
}: Pick<Cell, "spectralNorm" | "avgPoolShortcut" | "l2Normalize">): string {
  return [spectralNorm ? "SN" : "no SN", avgPoolShortcut ? "leaky + GAP" : "no leaky + GAP", l2Normalize ? "L2" : "no L2"].join(", ");
}

function entry(
  { min, max, mean, pm, sd = pm }: PrintedSpread,
  networks: readonly Network[],
  wanted: Partial<Cell>,
  value: (row: MeasurementRow) => number | undefined,
): TableEntry {
  const matching = networks.filter(({ cell }) => (Object.keys(wanted) as (keyof Cell)[]).every((key) => cell[key] === wanted[key]));
  const ours = matching.flatMap((network): Ours[] => {
    const numbers = spread(trained(network).flatMap((row) => value(row) ?? []));
    const scaled = network.scaled.length > 0;
    const { width, batchSize } = network.cell;
    return numbers === undefined
      ? []
      : [{ ...numbers, label: network.label, scaled, unlike: !scaled && (width !== 1 || batchSize !== 1024) }];
  });
  return { printed: { min, max, mean, sd }, ours };
}
