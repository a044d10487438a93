// `libtorch-ood experiment report`: writes an HTML page and a Markdown text of the results, beside the numbers that the paper prints.

import { Command } from "commander";
import * as experiments from "../experiment";
import { pathTo } from "./path-option";
import { visible, visibleJson } from "./visible";

export function experimentReportCommand(): Command {
  return new Command("report")
    .description("report the results beside the numbers printed in the paper: one HTML page, and Markdown with SVG files")
    .argument("<runs>", "folder that `experiment run` wrote to; it may still be writing", pathTo("a folder"))
    .option("--out <folder>", "folder for report.html, report.md and figures/ (default: report in the folder of runs)", pathTo("a folder"))
    .option("--no-figures", "tables only, which need no optional packages")
    .option("--json", "print the paths and the contents of the report as JSON")
    .action(async (runs: string, { json, ...options }: { out?: string; figures: boolean; json?: boolean }) => {
      const report = await experiments.report(runs, options);
      if (json) {
        console.log(visibleJson(report, 2));
        return;
      }
      const list = (titles: readonly string[]): string => visible(titles.join(", ")) || "none";
      console.log(visible(report.html));
      console.log(visible(report.markdown));
      console.error(`tables: ${list(report.tables)}`);
      console.error(`figures: ${list(report.figures)}`);
      console.error(`not run: ${list(report.notRun)}`);
    });
}
