// The figures of docs/results/reliability.md, which the campaigns and the sanitizers' runs write with `--document`: a row for each, the new one in
// place of that of an earlier run.

import { readNumbers, writeNumbers } from "./results-pages.mjs";

/** @param figures - of `{ what, found }`, `found` an object of numbers and texts, nested as one likes */
export function documentFigures(figures) {
  const numbers = readNumbers("reliability");
  const rows = new Map(numbers.figures.rows);
  for (const { what, found } of figures) rows.set(what, inWords(found));
  writeNumbers("reliability", { ...numbers, figures: { ...numbers.figures, rows: [...rows] } });
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
