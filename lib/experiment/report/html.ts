// Writes a report as one HTML page that loads nothing: style, tables and figures are all in it. The page is well-formed XML too.

import { howToRead, scaledNetworks, scaledText, weakText, type Contents } from "./contents";
import type { Drawing } from "./draw";
import type { Figure } from "./figure";
import { numberText, rangeText, sdText } from "./numbers";
import type { PlainTable } from "./plain-tables";
import { pageStyle } from "./style";
import type { ComparisonTable, Ours, TableEntry } from "./tables";
import { xmlCharacters } from "./xml-characters";

/**
 * @param drawings of `contents.figures`, in their order; none leaves the figures out
 * @param rows path of results.jsonl from where the page is
 */
export function htmlReport(contents: Contents, drawings: readonly Drawing[], source: string, rows: string): string {
  const { findings, weak, facts, differences, networks, tables, results, notRun } = contents;
  const figures = contents.figures.slice(0, drawings.length);
  const title = "Experiment report";
  const scaled = scaledNetworks(networks);
  const sections = [
    section(
      "differences",
      "Differences",
      differences.map((table) => plainTable(table)),
      differences.length,
    ),
    section("runs", "Runs", [plainTable(contents.runs, "text")]),
    section("tables", "The paper's tables", [`<p>${escapeHtml(howToRead)}</p>`, ...tables.map(comparison)], tables.length),
    section(
      "figures",
      "Figures",
      figures.map((figure, i) => figureElement(figure, drawings[i] as Drawing)),
      figures.length,
    ),
    section(
      "results",
      "All results",
      results.map((table) => plainTable(table)),
      results.length,
    ),
    section("not-run", "Not run", [`<p>No run fills these: ${escapeHtml(notRun.join(", "))}.</p>`], notRun.length),
  ].filter((part) => part !== undefined);
  const links = sections.map(({ id, heading }) => `<li><a href="#${id}">${escapeHtml(heading)}</a></li>`);
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta name="color-scheme" content="light dark" />
<title>${escapeHtml(title)}</title>
<style>
${pageStyle}
</style>
</head>
<body>
<header>
<h1>${escapeHtml(title)}</h1>
${(findings.length === 0 ? ["No network is finished yet."] : findings).map((text) => `<p class="finding">${escapeHtml(text)}</p>`).join("\n")}
${weak.length === 0 ? "" : notice("weak", weakText, weak)}
${scaled.length === 0 ? "" : notice("scaled", scaledText, scaled)}
<p>Runs of libtorch-ood beside the numbers printed in ${escapeHtml(source)}.</p>
<dl>
${facts.map(([name, text]) => `<dt>${escapeHtml(name)}</dt><dd>${name === "To repeat it" ? `<code>${escapeHtml(text)}</code>` : escapeHtml(text)}</dd>`).join("\n")}
<dt>All rows</dt><dd><a href="${escapeHtml(encodeURI(rows.replace(/\\/g, "/")).replace(/[?#]/g, encodeURIComponent))}">results.jsonl</a></dd>
</dl>
<nav aria-label="Contents"><ul>${links.join("")}</ul></nav>
</header>
<main>
${sections.map(({ html }) => html).join("\n")}
</main>
</body>
</html>
`;
}

/** For text and for attributes in double quotes. */
export function escapeHtml(text: string): string {
  const known = xmlCharacters(text);
  return known.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;").replace(/'/g, "&#39;");
}

function section(id: string, heading: string, parts: readonly string[], items = 1) {
  if (items === 0) return undefined;
  const html = `<section id="${id}" aria-labelledby="${id}-heading">\n<h2 id="${id}-heading">${escapeHtml(heading)}</h2>\n${parts.join("\n")}\n</section>`;
  return { id, heading, html };
}

function notice(badge: string, text: string, lines: readonly string[]): string {
  const items = lines.map((line) => `<li>${escapeHtml(line)}</li>`).join("");
  return `<div class="notice" role="note"><p><span class="badge">${badge}</span> ${escapeHtml(text)}</p><ul>${items}</ul></div>`;
}

function comparison(table: ComparisonTable): string {
  const scaled = table.columns.map((_, i) => table.rows.some((row) => row.entries[i]?.ours.some((ours) => ours.scaled)));
  const badge = (i: number): string => (scaled[i] ? ' <span class="badge">scaled</span>' : "");
  const heads = table.columns.map((column) => `<th scope="colgroup" colspan="2">${escapeHtml(column)}</th>`);
  const kinds = table.columns.map((_, i) => `<th scope="col">printed</th><th scope="col" class="ours">ours${badge(i)}</th>`);
  const rows = table.rows.map((row) => `<tr><th scope="row">${escapeHtml(row.head)}</th>${row.entries.map(pair).join("")}</tr>`);
  return `<h3 id="${table.id}">${escapeHtml(table.title)}</h3>
<div class="scroll" tabindex="0" role="region" aria-labelledby="${table.id}"><table${table.columns.length > 4 ? ' class="wide"' : ""}>
<caption><span>${escapeHtml(table.caption)}</span></caption>
<colgroup></colgroup>${table.columns.map(() => '<colgroup span="2"></colgroup>').join("")}
<thead>
<tr><th scope="col" rowspan="2">${escapeHtml(table.rowHeading)}</th>${heads.join("")}</tr>
<tr>${kinds.join("")}</tr>
</thead>
<tbody>
${rows.join("\n")}
</tbody>
</table></div>`;
}

function pair({ printed, ours }: TableEntry): string {
  const range = rangeText(printed);
  const theirs = averageText(printed) + (range === undefined ? "" : `<small>${range}</small>`);
  const several = ours.length > 1;
  const numbers = ours.length === 0 ? '<span class="quiet">not run</span>' : ours.map((one) => ourEntry(one, several)).join("");
  return `<td>${theirs}</td><td class="ours">${numbers}</td>`;
}

function ourEntry(ours: Ours, several: boolean): string {
  const name = several || ours.unlike ? `<small>${escapeHtml(ours.label)}</small>` : "";
  const seeds = `${ours.count} ${ours.count === 1 ? "seed" : "seeds"}${ours.undefinedIn > 0 ? `, undefined in ${ours.undefinedIn}` : ""}`;
  const range = ours.count === 1 ? "" : `<small>${rangeText(ours)}</small>`;
  return `<div>${name}${averageText(ours)}${range}<small>${seeds}</small></div>`;
}

/** Mean ± sd, of which wide tables put the sd on a line of its own. */
function averageText(averaged: { readonly mean: number; readonly sd: number | undefined }): string {
  const sd = sdText(averaged);
  return numberText(averaged.mean) + (sd === undefined ? "" : ` <span class="sd">± ${sd}</span>`);
}

function plainTable(table: PlainTable, look?: "text"): string {
  const words = table.head.map((_, column) => table.rows.some((row) => isWords(row[column] ?? "")));
  const side = (column: number): string => (words[column] ? ' class="text"' : "");
  const heads = table.head.map((head, i) => `<th scope="col"${side(i)}>${escapeHtml(head)}</th>`);
  const row = (head: string, [, ...cells]: readonly string[]): string =>
    `<tr>${head}${cells.map((cell, i) => `<td${side(i + 1)}>${escapeHtml(cell)}</td>`).join("")}</tr>`;
  const bodies = groups(table.rows).map((rows) => {
    const scope = rows.length === 1 ? 'scope="row"' : `scope="rowgroup" rowspan="${rows.length}"`;
    const head = `<th ${scope}>${escapeHtml(rows[0]?.[0] ?? "")}</th>`;
    return `<tbody>\n${rows.map((cells, i) => row(i === 0 ? head : "", cells)).join("\n")}\n</tbody>`;
  });
  const kind = look ?? (table.head.length > 7 ? "wide" : undefined);
  return `<div class="scroll" tabindex="0" role="region" aria-label="${escapeHtml(table.caption)}"><table${kind === undefined ? "" : ` class="${kind}"`}>
<caption><span>${escapeHtml(table.caption)}</span></caption>
<thead><tr>${heads.join("")}</tr></thead>
${bodies.join("\n")}
</table></div>`;
}

/** Rows that follow one another with the same head, which is then written once: on a telephone a name that is repeated leaves room for little else. */
function groups(rows: PlainTable["rows"]): (readonly string[])[][] {
  const found: (readonly string[])[][] = [];
  for (const row of rows) {
    const last = found.at(-1);
    if (last?.[0]?.[0] === row[0]) last?.push(row);
    else found.push([row]);
  }
  return found;
}

/** Words stand left, numbers right, and so do the words that stand for a number. */
function isWords(text: string): boolean {
  return /\p{L}{2}/u.test(text) && !/^(undefined|not run)|undefined in/.test(text);
}

function figureElement(figure: Figure, { panels, legend }: Drawing): string {
  const entries = legend.map(({ name, swatch }) => `<li>${swatch}<span>${escapeHtml(name)}</span></li>`);
  const drawn = panels.map((svg, i) => `<div><h4>${escapeHtml(figure.panels[i]?.title ?? "")}</h4>${svg}</div>`);
  return `<h3 id="${figure.id}">${escapeHtml(figure.title)}</h3>
<figure aria-labelledby="${figure.id}">
<figcaption>${escapeHtml(figure.caption)}</figcaption>
<ul class="legend">${entries.join("")}</ul>
<div class="panels">
${drawn.join("\n")}
</div>
${figure.table === undefined ? "" : plainTable(figure.table)}
</figure>`;
}
