// The table of figures in docs/reliability.md, which the campaigns and the sanitizers' runs write with `--document`: a row for each figure,
// the new one in place of that of an earlier run.

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const file = path.join(path.dirname(path.dirname(fileURLToPath(import.meta.url))), "docs", "reliability.md");
const head = "| what | found |\n|---|---|\n";

/** @param figures - of `{ what, found }`, `found` an object of numbers and texts, nested as one likes */
export function documentFigures(figures) {
  const text = fs.readFileSync(file, "utf8");
  const start = text.indexOf(head) + head.length;
  if (start < head.length) throw new Error(`${file}: expected a table with the head ${JSON.stringify(head)}`);
  const length = text.slice(start).search(/^(?!\|)/m);
  const end = length < 0 ? text.length : start + length;
  const rows = new Map();
  for (const line of text.slice(start, end).split("\n").filter(Boolean)) rows.set(line.split(" | ")[0].slice(2), line);
  for (const { what, found } of figures) rows.set(what, `| ${what} | ${inWords(found)} |`);
  fs.writeFileSync(file, text.slice(0, start) + [...rows.values(), ""].join("\n") + text.slice(end));
}

/** `{ cycles: 2, rssMebibytes: [3, 4], done: { abort: 5 } }`: "cycles 2, rss mebibytes 3 / 4, done (abort 5)". */
function inWords(found) {
  return Object.entries(found)
    .map(([key, value]) => {
      const name = key.replace(/(?<=[a-z])[A-Z](?=[a-z])/g, (letter) => ` ${letter.toLowerCase()}`);
      if (Array.isArray(value)) return `${name} ${value.join(" / ")}`;
      return typeof value === "object" && value !== null ? `${name} (${inWords(value)})` : `${name} ${value}`;
    })
    .join(", ");
}
