// Writes the report of a folder of runs: `report.html`, `report.md` and the figures of the latter.

import { join, dirname, relative } from "node:path";
import { boolean, optionsObject, string } from "../../core/checks";
import { writeFileAtomically } from "../../formats/atomic-write";
import { requireDirectory } from "../../core/make-directory";
import paper from "../paper-tables.json";
import { reportContents } from "./contents";
import { loadDraw } from "./draw";
import { htmlReport } from "./html";
import { markdownReport } from "./markdown";
import { read } from "./read-results";

/** Options of {@link report}. */
export interface ReportOptions {
  /** Folder to write to, which is made if it is missing. Default: `report` in the folder of runs. */
  out?: string;
  /** The report has figures, which need two optional packages. Default true. */
  figures?: boolean;
}

/** Result of {@link report}. */
export interface WrittenReport {
  /** Path of the page. */
  readonly html: string;
  /** Path of the Markdown file. */
  readonly markdown: string;
  /** Titles of the tables that were written. */
  readonly tables: readonly string[];
  /** Titles of the figures that were drawn. */
  readonly figures: readonly string[];
  /** Titles of the paper's tables and figures that no row can fill. */
  readonly notRun: readonly string[];
}

/**
 * Writes the report of the runs in `runs`/results.jsonl: the tables of the seed paper with its printed numbers and those of the runs side by side, and
 * its figures, as far as the rows fill them. It also reports on runs that are not finished.
 *
 * @param runs - the folder that {@link run} wrote to
 * @param options - the folder to write to, and whether to draw figures
 * @returns paths of the files, and their contents
 * @throws ERR_IO if a file cannot be read or written; ERR_CORRUPT_FILE for a damaged results file, with the line number; ERR_PLOT_NOT_FOUND if figures are
 *   wanted and the packages that draw them are not installed; ERR_OPTION for an unknown option or a value of another type
 * @example
 * const { html } = await experiments.report("runs", { figures: false });
 */
export async function report(runs: string, options: ReportOptions = {}): Promise<WrittenReport> {
  string(runs, "runs");
  const given = optionsObject(options, "options", ["out", "figures"]);
  const out = string(given.out ?? join(runs, "report"), "options.out");
  const withFigures = boolean(given.figures ?? true, "options.figures");
  const contents = reportContents(await read(runs));
  const results = relative(out, join(runs, "results.jsonl"));
  const draw = withFigures && contents.figures.length > 0 ? await loadDraw() : undefined;
  const drawings = draw === undefined ? [] : contents.figures.map(draw);
  const html = join(out, "report.html");
  const markdown = join(out, "report.md");
  const { text, files } = markdownReport(contents, drawings, paper.source, results);
  for (const [path, svg] of files) await write(join(out, path), svg);
  await write(markdown, text);
  await write(html, htmlReport(contents, drawings, paper.source, results));
  return {
    html,
    markdown,
    tables: contents.tables.map((table) => table.title),
    figures: contents.figures.slice(0, drawings.length).map((figure) => figure.title),
    notRun: contents.notRun,
  };
}

async function write(path: string, text: string): Promise<void> {
  requireDirectory(dirname(path));
  await writeFileAtomically(path, [Buffer.from(text)]);
}
