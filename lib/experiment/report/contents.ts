// What a report holds, before it is written as HTML or Markdown: pure data from the rows.

import type { HeaderRow } from "../rows";
import type { Figure } from "./figure";
import { figure3, figure4, figure5, figure7 } from "./figures-by-epoch";
import { figure6, figure8, histogramFigure, rocFigure } from "./figures-of-features";
import { groupBy, networksOf, type Network } from "./networks";
import { collapseTable, detectionTable, runsTable, type PlainTable } from "./plain-tables";
import type { Results } from "./read-results";
import { paperTables, type ComparisonTable } from "./tables";

export interface Contents {
  readonly header: HeaderRow;
  readonly networks: readonly Network[];
  readonly runs: PlainTable;
  readonly tables: readonly ComparisonTable[];
  readonly figures: readonly Figure[];
  /** Every finished network, also those that the paper does not have. */
  readonly results: readonly PlainTable[];
  /** Tables and figures that no row can fill. */
  readonly notRun: readonly string[];
}

const figures: readonly (readonly [string, (networks: readonly Network[]) => Figure | undefined])[] = [
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
  const made = figures.map(([title, make]) => ({ title, figure: make(networks) }));
  return {
    header,
    networks,
    runs: runsTable(networks),
    tables,
    figures: made.flatMap(({ figure }) => figure ?? []),
    results: [detectionTable(networks), collapseTable(networks)].filter((table) => table.rows.length > 0),
    notRun: [...notRun, ...made.filter(({ figure }) => figure === undefined).map(({ title }) => title)],
  };
}

/** What was made smaller than in the paper, and of which networks. */
export function scaledNetworks(networks: readonly Network[]): string[] {
  const scaled = networks.filter((network) => network.scaled.length > 0);
  return [...groupBy(scaled, (network) => network.scaled.join("; "))].map(
    ([what, which]) => `${what}: ${which.map(({ cell }) => cell.name).join(", ")}`,
  );
}

export const howToRead =
  "Printed numbers are means over 15 seeds, ± one standard deviation, with the smallest and largest beneath where the paper has them. " +
  "Ours are the same over the seeds that were run; a single seed has no ±.";
