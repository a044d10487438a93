// Writes the tables of scores from what each score says of itself, in dist/ (npm run build:ts makes it). docs/guide/choosing-a-score.md gets the table of
// which score to choose; docs/design/scores.md gets those of formulas, options and properties. With --check it writes nothing, and fails where a page
// has other tables.

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { scores } from "../dist/index.mjs";

const [begin, end] = ["<!-- scores: begin -->", "<!-- scores: end -->"];
const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const described = scores.names.map((name) => scores.describe(name));

update("docs/guide/choosing-a-score.md", [choiceTable()]);
update("docs/design/scores.md", [formulaTable(), optionTable(), propertyTable()]);

function update(page, tables) {
  const file = path.join(root, page);
  const text = fs.readFileSync(file, "utf8");
  const [from, to] = [text.indexOf(begin) + begin.length, text.indexOf(end)];
  if (from < begin.length || to < from) throw new Error(`${page}: expected ${begin} and ${end}`);
  const current = `${text.slice(0, from)}\n\n${tables.join("\n\n")}\n\n${text.slice(to)}`;
  if (!process.argv.includes("--check")) fs.writeFileSync(file, current);
  else if (text !== current) {
    console.error(
      `${page}: the tables of scores are not those of the library; npm run build:ts && node scripts/score-table.mjs writes them`,
    );
    process.exitCode = 1;
  }
}

function choiceTable() {
  const rows = described.map(({ name, chooseWhere, requirements }) => [`\`${name}\``, chooseWhere, needs(requirements.fit)]);
  return table(["score", "choose it where", "fitted to"], rows);
}

function formulaTable() {
  const rows = described.map(({ name, formula, source, cost, requirements }) => {
    return [`\`${name}\``, formula, listed(requirements.score), needs(requirements.fit), cost, source];
  });
  return table(["score", "formula", "looks at", "fitted to", "costs", "source"], rows);
}

/** Each option once for the scores that declare it alike. */
function optionTable() {
  const rows = described.flatMap(({ name, options }) =>
    options.map(({ name: option, expected, default: value, otherwise, description }) => {
      const unset = value === undefined ? code(otherwise ?? "none") : `\`${JSON.stringify(value)}\``;
      return { name: option, of: name, cells: [code(expected), unset, description] };
    }),
  );
  return table(["option", "of", "values", "default", "what it does"], gathered(rows));
}

function propertyTable() {
  const rows = described.flatMap(({ name, properties }) =>
    properties.map((property) => ({ name: property.name, of: name, cells: [property.description] })),
  );
  return table(["property of the fitted score", "of", "what it says"], gathered(rows));
}

/** Rows by name; those that differ in the score alone are one. */
function gathered(rows) {
  const found = new Map();
  for (const { name, of, cells } of rows) {
    const key = JSON.stringify([name, cells]);
    found.set(key, { name, cells, scores: [...(found.get(key)?.scores ?? []), of] });
  }
  const sorted = [...found.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return sorted.map(({ name, scores: list, cells }) => [`\`${name}\``, listed(list), ...cells]);
}

function table(head, rows) {
  return [head, head.map(() => "---"), ...rows]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`)
    .join("\n");
}

function needs(outputs) {
  return outputs.length === 0 ? "nothing" : listed(outputs);
}

function listed(names) {
  return names.map((name) => `\`${name}\``).join(", ");
}

/** Words in quotation marks as code. */
function code(words) {
  return words.replace(/"[^"]*"/g, "`$&`");
}
