// The tables of docs/results, made from the numbers in docs/results/data: each stands between two markers that name file and table. What measures
// something (npm run bench, test:campaigns, the sanitizers) writes its numbers there with `--document`.
//
//   node scripts/results-pages.mjs [--check]    with --check nothing is written, and it fails where a page is not up to date

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const results = path.join(path.dirname(path.dirname(fileURLToPath(import.meta.url))), "docs", "results");
const block = /<!-- table ([a-z0-9-]+)\/([a-z0-9-]+): begin -->\n[^]*?<!-- table \1\/\2: end -->/g;

/** How the rows of a table look, by its `kind`. */
const kinds = {
  plain: ({ head, rows }) => markdownTable(head, rows),
  benchmark: ({ rows }) =>
    markdownTable(
      ["operation", "ours", "peer", "its time", "ratio"],
      rows.map(({ name, ours_s, peer, peer_s, ratio }) => [name, duration(ours_s), peer, duration(peer_s), ratio.toFixed(2)]),
    ),
};

/** The numbers in docs/results/data/NAME.json: tables by name, each with its kind and rows. */
export function readNumbers(name) {
  return JSON.parse(fs.readFileSync(numbersFile(name), "utf8"));
}

/** Writes the numbers, a line for each row, and the pages that show them. */
export function writeNumbers(name, tables) {
  const texts = Object.entries(tables).map(([table, { rows, ...other }]) => {
    const fields = Object.entries(other).map(([key, value]) => `    ${JSON.stringify(key)}: ${JSON.stringify(value)},\n`);
    return `  ${JSON.stringify(table)}: {\n${fields.join("")}    "rows": [\n${rows.map((row) => `      ${JSON.stringify(row)}`).join(",\n")}\n    ]\n  }`;
  });
  fs.writeFileSync(numbersFile(name), `{\n${texts.join(",\n")}\n}\n`);
  updatePages();
}

/** The text of a page with the tables of today's numbers. */
export function withTables(text) {
  return text.replace(block, (_, name, table) => {
    const numbers = readNumbers(name)[table];
    if (numbers === undefined) throw new Error(`docs/results/data/${name}.json: no table ${JSON.stringify(table)}`);
    return `<!-- table ${name}/${table}: begin -->\n\n${kinds[numbers.kind](numbers)}\n<!-- table ${name}/${table}: end -->`;
  });
}

/** Writes the pages that are not up to date, and gives their names. */
export function updatePages({ write = true } = {}) {
  const pages = fs.readdirSync(results).filter((name) => name.endsWith(".md"));
  return pages.filter((page) => {
    const file = path.join(results, page);
    const text = fs.readFileSync(file, "utf8");
    const current = withTables(text);
    if (write && current !== text) fs.writeFileSync(file, current);
    return current !== text;
  });
}

/** "1.59 s", "47 ms", "4.21 ms" */
export function duration(seconds) {
  return seconds >= 1 ? `${seconds.toFixed(2)} s` : `${(seconds * 1000).toFixed(seconds < 0.01 ? 2 : 0)} ms`;
}

function markdownTable(head, rows) {
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |\n`).join("");
}

function numbersFile(name) {
  return path.join(results, "data", `${name}.json`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const check = process.argv.includes("--check");
  const stale = updatePages({ write: !check });
  if (check && stale.length > 0) {
    console.error(`docs/results: not made from docs/results/data, run node scripts/results-pages.mjs: ${stale.join(", ")}`);
    process.exitCode = 1;
  }
}
