// Formats plain text tables: columns are as wide as they must be, numbers are aligned right, and each cell stays on its line.

import { visible } from "./visible";

export type Cell = string | number | undefined;

/** A header and rows, of which cells that are numbers (or columns headed so) stand to the right. */
export function table(header: readonly string[], rows: readonly (readonly Cell[])[], right: readonly number[] = []): string {
  const texts = [header, ...rows.map((row) => row.map((cell) => (cell === undefined ? "" : visible(String(cell)))))];
  const widths = header.map((_, column) => Math.max(...texts.map((row) => (row[column] ?? "").length)));
  return texts
    .map((row) =>
      row
        .map((text, column) => (right.includes(column) ? text.padStart(widths[column] as number) : text.padEnd(widths[column] as number)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Name and value, one pair a line; pairs without a value are left out. */
export function facts(pairs: readonly (readonly [string, Cell])[]): string {
  const given = pairs.filter(([, value]) => value !== undefined);
  const width = Math.max(...given.map(([name]) => name.length));
  return given.map(([name, value]) => `${name.padEnd(width)}  ${visible(String(value))}`).join("\n");
}

/** A share from 0 to 1. */
export function share(value: number): string {
  return value.toFixed(4);
}

/** A number of any size in seven places. */
export function number(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return Math.abs(value) >= 1e6 || (value !== 0 && Math.abs(value) < 1e-4) ? value.toExponential(3) : String(Number(value.toPrecision(6)));
}
