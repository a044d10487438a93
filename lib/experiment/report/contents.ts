// The contents of a report as plain data from the rows, before it is written as HTML or Markdown.

import type { Figure } from "./figure";
import { figure3, figure4, figure5, figure7 } from "./figures-by-epoch";
import { figure6, figure8, histogramFigure, rocFigure } from "./figures-of-features";
import { classNamesOf, factsOf, type Facts } from "./facts";
import { differenceTables, findings, weakNetworks } from "./findings";
import { finishedSeeds, groupBy, networksOf, type Network } from "./networks";
import { collapseTable, detectionTable, runsTable, type PlainTable } from "./plain-tables";
import type { Results } from "./read-results";
import { paperTables, type ComparisonTable } from "./tables";

export interface Contents {
  /** Findings as sentences, the main one first. */
  readonly findings: readonly string[];
  /** Sentences about networks that have learnt too little for their numbers to say much. */
  readonly weak: readonly string[];
  readonly facts: Facts;
  /** A table for each pair of networks that differ in L2 normalisation alone. */
  readonly differences: readonly PlainTable[];
  readonly networks: readonly Network[];
  readonly runs: PlainTable;
  readonly tables: readonly ComparisonTable[];
  readonly figures: readonly Figure[];
  /** Every finished network, also those that the paper does not have. */
  readonly results: readonly PlainTable[];
  /** Tables and figures that no row can fill. */
  readonly notRun: readonly string[];
}

const figures: readonly (readonly [string, (networks: readonly Network[], classNames?: readonly string[]) => Figure | undefined])[] = [
  ["Figure 3", figure3],
  ["Figure 4", figure4],
  ["Figure 5", figure5],
  ["Figure 6", figure6],
  ["Figure 7", figure7],
  ["Figure 8", figure8],
  ["ROC curves", rocFigure],
  ["Score histograms", histogramFigure],
];

export function reportContents({ header, rows }: Results): Contents {
  const networks = networksOf(rows);
  const { tables, notRun } = paperTables(networks);
  const classNames = classNamesOf(header);
  const { shown, leftOut } = finishedOnly(networks);
  const made = figures.map(([title, make]) => ({ title, figure: withNote(make(shown, classNames), leftOut) }));
  return {
    ...{ findings: findings(networks), weak: weakNetworks(networks, classNames?.length), facts: factsOf(header, networks) },
    differences: differenceTables(networks),
    networks,
    runs: runsTable(networks),
    tables,
    figures: made.flatMap(({ figure }) => figure ?? []),
    results: [detectionTable(networks), collapseTable(networks)].filter((table) => table.rows.length > 0),
    notRun: [...notRun, ...made.filter(({ figure }) => figure === undefined).map(({ title }) => title)],
  };
}

/** The rows for figures: those of finished runs, or of all runs if none is finished. A curve that ends early would be read as one that was meant to. */
function finishedOnly(networks: readonly Network[]): { shown: readonly Network[]; leftOut: readonly string[] } {
  const shown = networks.flatMap((network): Network[] => {
    const done = finishedSeeds(network);
    const rows = network.rows.filter((row) => done.has(row.seed));
    return rows.length === 0 ? [] : [{ ...network, rows }];
  });
  if (shown.length === 0) return { shown: networks, leftOut: [] };
  const leftOut = networks.flatMap((network) => {
    const done = finishedSeeds(network);
    const pending = [...groupBy(network.rows, (row) => row.seed)].filter(([seed]) => !done.has(seed));
    return pending.map(([seed, found]) => `${network.label}, seed ${seed}, at epoch ${Math.max(...found.map((row) => row.epoch))}`);
  });
  return { shown, leftOut };
}

function withNote(figure: Figure | undefined, leftOut: readonly string[]): Figure | undefined {
  if (figure === undefined || leftOut.length === 0) return figure;
  return { ...figure, caption: `${figure.caption} Unfinished runs are left out: ${leftOut.join("; ")}.` };
}

/** What is smaller than in the paper, and for which networks. */
export function scaledNetworks(networks: readonly Network[]): string[] {
  const scaled = networks.filter((network) => network.scaled.length > 0);
  return [...groupBy(scaled, (network) => network.scaled.join("; "))].map(
    ([what, which]) => `${what}: ${which.map(({ cell }) => cell.name).join(", ")}`,
  );
}

export const scaledText = "These runs are smaller than the paper's. Their numbers show the shape of the results, not the results.";

export const weakText = "These networks are near guessing. Their AUROCs, near 0.5 or not, say little about what is compared.";

export const howToRead =
  "Printed numbers are means over 15 seeds, ± one standard deviation, with the smallest and largest beneath where the paper has them. " +
  "Ours are the same over the seeds that were run; a single seed has no ±.";
