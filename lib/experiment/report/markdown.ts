// Writes a report as Markdown, with the figures as SVG files beside it.

import { howToRead, scaledNetworks, scaledText, weakText, type Contents } from "./contents";
import type { Drawing } from "./draw";
import { describePanel, type Figure } from "./figure";
import { escapeHtml } from "./html";
import { meanText, rangeText } from "./numbers";
import type { PlainTable } from "./plain-tables";
import { fileStyle } from "./style";
import type { ComparisonTable, TableEntry } from "./tables";

export interface MarkdownReport {
  readonly text: string;
  /** SVG files by the path, relative to the text, under which it shows them. */
  readonly files: ReadonlyMap<string, string>;
}

/**
 * @param drawings of `contents.figures`, in their order; none leaves the figures out
 * @param rows path of results.jsonl from where the text is
 */
export function markdownReport(contents: Contents, drawings: readonly Drawing[], source: string, rows: string): MarkdownReport {
  const { findings, weak, facts, differences, networks, tables, results, notRun } = contents;
  const figures = contents.figures.slice(0, drawings.length);
  const scaled = scaledNetworks(networks);
  const files = new Map<string, string>();
  const parts = [
    "# Experiment report",
    ...(findings.length === 0 ? ["No network is finished yet."] : findings.map(escapeMarkdown)),
    ...(weak.length === 0 ? [] : [`**Weak:** ${weakText}`, weak.map((line) => `- ${escapeMarkdown(line)}`).join("\n")]),
    ...(scaled.length === 0 ? [] : [`**Scaled:** ${scaledText}`, scaled.map((line) => `- ${escapeMarkdown(line)}`).join("\n")]),
    `Runs of libtorch-ood beside the numbers printed in ${escapeMarkdown(source)}.`,
    facts.map(([name, text]) => `- ${name}: ${escapeMarkdown(text)}`).join("\n") + `\n- All rows: ${escapeMarkdown(rows)}`,
    ...(differences.length === 0
      ? []
      : ["## Differences", ...differences.flatMap((table) => [`${escapeMarkdown(table.caption)}:`, plainTable(table)])]),
    "## Runs",
    plainTable(contents.runs),
    ...(tables.length === 0 ? [] : ["## The paper's tables", howToRead, ...tables.flatMap(comparison)]),
    ...(figures.length === 0 ? [] : ["## Figures", ...figures.flatMap((figure, i) => figureParts(figure, drawings[i] as Drawing, files))]),
    ...(results.length === 0
      ? []
      : ["## All results", ...results.flatMap((table) => [`${escapeMarkdown(table.caption)}:`, plainTable(table)])]),
    ...(notRun.length === 0 ? [] : ["## Not run", `No run fills these: ${notRun.join(", ")}.`]),
  ];
  return { text: parts.join("\n\n") + "\n", files };
}

/** Every character that Markdown or the HTML in it would take for its own, by a backslash; line breaks as spaces. */
export function escapeMarkdown(text: string): string {
  return text.replace(/\s+/g, " ").replace(/[\\`*_{}[\]<>#|~&!]/g, "\\$&");
}

function comparison(table: ComparisonTable): string[] {
  const heads = table.columns.flatMap((column, i) => {
    const scaled = table.rows.some((row) => row.entries[i]?.ours.some((ours) => ours.scaled));
    return [`${column}: printed`, `${column}: ours${scaled ? " (scaled)" : ""}`];
  });
  const rows = table.rows.map((row) => [row.head, ...row.entries.flatMap(pair)].map(escapeMarkdown));
  return [
    `### ${escapeMarkdown(table.title)}`,
    `${escapeMarkdown(table.caption)}:`,
    tableText([table.rowHeading, ...heads].map(escapeMarkdown), rows),
  ];
}

function pair({ printed, ours }: TableEntry): [string, string] {
  const range = rangeText(printed);
  const theirs = meanText(printed) + (range === undefined ? "" : ` (${range})`);
  const own = ours.map((one) => {
    const seeds = `${one.count} ${one.count === 1 ? "seed" : "seeds"}${one.undefinedIn > 0 ? `, undefined in ${one.undefinedIn}` : ""}`;
    const numbers = `${meanText(one)} (${one.count === 1 ? seeds : `${rangeText(one)}, ${seeds}`})`;
    return ours.length > 1 || one.unlike ? `${one.label}: ${numbers}` : numbers;
  });
  return [theirs, own.join("; ") || "not run"];
}

function plainTable(table: PlainTable): string {
  return tableText(
    table.head.map(escapeMarkdown),
    table.rows.map((row) => row.map(escapeMarkdown)),
  );
}

function tableText(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

function figureParts(figure: Figure, { panels, legend }: Drawing, files: Map<string, string>): string[] {
  const image = (name: string, svg: string, alternative: string): string => {
    const path = `figures/${name}.svg`;
    files.set(path, svg);
    return `![${escapeMarkdown(alternative)}](${path})`;
  };
  const shown = panels.map((svg, i) => {
    const panel = figure.panels[i] as Figure["panels"][number];
    return `${escapeMarkdown(panel.title)}:\n\n${image(`${figure.id}-${i + 1}`, asFile(svg), describePanel(panel))}`;
  });
  const names = legend.map(({ name }) => name).join(", ");
  return [
    `### ${escapeMarkdown(figure.title)}`,
    escapeMarkdown(figure.caption),
    image(`${figure.id}-legend`, legendFile(legend), `Legend: ${names}`),
    ...shown,
    ...(figure.table === undefined ? [] : [`${escapeMarkdown(figure.table.caption)}:`, plainTable(figure.table)]),
  ];
}

/** A drawing as a file of its own, with its namespace and colours. */
function asFile(svg: string): string {
  const open = svg.indexOf(">") + 1;
  return `${svg.slice(0, open).replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"')}<style>${fileStyle}</style>${svg.slice(open)}\n`;
}

function legendFile(legend: Drawing["legend"]): string {
  const lineHeight = 20;
  const rows = legend.map(({ name, swatch }, i) => {
    const placed = swatch.replace("<svg", `<svg y="${i * lineHeight + 3}"`);
    return `${placed}<text x="42" y="${i * lineHeight + 14}">${escapeHtml(name)}</text>`;
  });
  const width = 60 + 8 * Math.max(0, ...legend.map(({ name }) => name.length));
  const size = `width="${width}" height="${legend.length * lineHeight}"`;
  return asFile(`<svg role="img" ${size} font-family="system-ui, sans-serif" font-size="13" fill="currentColor">${rows.join("")}</svg>`);
}
