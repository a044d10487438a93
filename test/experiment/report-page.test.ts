// The written report: it runs dist/, which `npm test` compiles first, because Jest cannot load the modules that draw.

import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { reportContents } from "../../lib/experiment/report/contents";
import { drawable, type Figure } from "../../lib/experiment/report/figure";
import { escapeMarkdown } from "../../lib/experiment/report/markdown";
import * as experiments from "../../lib/experiment";
import type { WrittenReport } from "../../lib/experiment";
import type { MeasurementRow } from "../../lib/experiment/rows";
import { packageRoot } from "../../lib/core/package-root";
import { cell, everyRow, header, linesOf, row, runsFolder } from "./report-rows";
import { byClass, elements, parseXml, type XmlElement } from "./report-xml";

const hostile = `</style><script src="https://example.org/x.js">alert('1')</script> & "quoted" | *bold* \u0001 ]]> <img src=x onerror=alert(1)>`;

function run(root: string, args: string[]) {
  const command = join(root, "dist", "cli", "experiment-report.js");
  const script = `require(${JSON.stringify(command)}).experimentReportCommand().parseAsync(process.argv.slice(1), { from: "user" })
    .catch((error) => { console.error(error.code + ": " + error.message); process.exitCode = 1; })`;
  return spawnSync(process.execPath, ["-e", script, "--", ...args], { encoding: "utf8" });
}

const made: string[] = [];
afterAll(() => made.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

function report(rows: readonly MeasurementRow[]) {
  const folder = runsFolder(linesOf(rows));
  made.push(folder);
  const { stdout, stderr, status } = run(packageRoot, [folder, "--json"]);
  expect([stderr, status]).toEqual(["", 0]);
  const written = JSON.parse(stdout) as WrittenReport;
  const figures = join(dirname(written.markdown), "figures");
  return {
    written,
    html: readFileSync(written.html, "utf8"),
    markdown: readFileSync(written.markdown, "utf8"),
    svg: new Map(readdirSync(figures).map((name) => [`figures/${name}`, readFileSync(join(figures, name), "utf8")])),
  };
}

const rows = everyRow();
const { figures } = reportContents({ header, rows });
let everything: ReturnType<typeof report>;
let page: XmlElement;
beforeAll(() => {
  everything = report(rows);
  page = parseXml(everything.html);
});

test("all figures and tables are there, in order, and the others are named", () => {
  const headings = elements(page).filter(({ name }) => name === "h3");
  expect(headings.map(({ text }) => text)).toEqual([...everything.written.tables, ...everything.written.figures]);
  expect(everything.written.notRun).toEqual(["Table 6, ResNet50"]);
  expect(page.text).toContain("No run fills these: Table 6, ResNet50.");
  expect(everything.markdown).toContain("No run fills these: Table 6, ResNet50.");
  for (const title of everything.written.tables) expect(everything.markdown).toContain(`### ${escapeMarkdown(title)}\n`);
});

/** Marks of every series of a panel, as its SVG has them. */
function expectMarks(svg: XmlElement, panel: Figure["panels"][number]) {
  panel.series.forEach((series, i) => {
    const count = drawable<(typeof series.points)[number]>(series.points, panel).length;
    const marks = (kind: string) => byClass(svg, `${kind}-${i}`).flatMap(({ children }) => children);
    if (series.mark === "dots") expect(marks(series.mark)).toHaveLength(count);
    else if (series.mark === "bars")
      expect(marks("bars")[0]!.attributes.get("d")!.match(/[ML]/g)).toHaveLength(2 * count + 2); // an outline
    else {
      const [line] = marks("line");
      expect(line!.attributes.get("d")!.match(/[ML]/g)).toHaveLength(count);
      expect(marks("dots")).toHaveLength(series.dots ? count : 0);
    }
  });
}

test("each panel has as many marks as its data, in the page and in the files of the Markdown", () => {
  for (const figure of figures) {
    figure.panels.forEach((panel, i) => {
      const id = `${figure.id}-${i + 1}`;
      const inPage = elements(page).find((element) => element.attributes.get("aria-labelledby") === `${id}-title`)!;
      expectMarks(inPage, panel);
      const file = everything.svg.get(`figures/${id}.svg`)!;
      expectMarks(parseXml(file), panel);
      expect(file).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
      expect(everything.markdown).toContain(`](figures/${id}.svg)`);
    });
  }
  const ours = figures.reduce((sum, { panels }) => sum + panels.length, 0) + figures.length;
  expect(everything.svg.size).toBe(ours); // the panels, and a legend for each figure
});

test("positions follow the numbers: dots of Figure 3 lie as their data do", () => {
  const panel = figures[0]!.panels[0]!;
  const svg = parseXml(everything.svg.get("figures/figure3-1.svg")!);
  const place = (mark: XmlElement) => {
    const moved = /translate\(([-\d.]+),([-\d.]+)\)/.exec(mark.attributes.get("transform") ?? "");
    return moved ? [Number(moved[1]), Number(moved[2])] : [Number(mark.attributes.get("cx")), Number(mark.attributes.get("cy"))];
  };
  const places = byClass(svg, "dots-0")[0]!.children.map(place);
  const data = panel.series[0]!.points as readonly { x: number; y: number }[];
  const [scaleX, scaleY] = [0, 1].map((axis) => {
    const value = (i: number) => (axis === 0 ? data[i]!.x : data[i]!.y);
    return (places[5]![axis]! - places[0]![axis]!) / (value(5) - value(0));
  });
  data.forEach(({ x, y }, i) => {
    expect(places[i]![0]).toBeCloseTo(places[0]![0]! + scaleX! * (x - data[0]!.x), 6);
    expect(places[i]![1]).toBeCloseTo(places[0]![1]! + scaleY! * (y - data[0]!.y), 6);
  });
});

test("accessible: language, headings in order, captions, scopes, names of images, unique ids", () => {
  expect(page.attributes.get("lang")).toBe("en");
  const all = elements(page);
  const levels = all.filter(({ name }) => /^h\d$/.test(name)).map(({ name }) => Number(name[1]));
  levels.forEach((level, i) => expect(level).toBeLessThanOrEqual((levels[i - 1] ?? 0) + 1));
  for (const table of all.filter(({ name }) => name === "table")) {
    expect(table.children[0]!.name).toBe("caption");
    for (const head of elements(table).filter(({ name }) => name === "th"))
      expect(head.attributes.get("scope")).toMatch(/^(col|row|colgroup|rowgroup)$/);
  }
  const ids = all.flatMap((element) => element.attributes.get("id") ?? []);
  expect(new Set(ids).size).toBe(ids.length);
  for (const svg of all.filter(({ name }) => name === "svg")) {
    if (svg.attributes.get("aria-hidden") === "true") continue;
    expect(svg.attributes.get("role")).toBe("img");
    for (const label of ["aria-labelledby", "aria-describedby"]) expect(ids).toContain(svg.attributes.get(label));
  }
  for (const { attributes } of all) for (const id of attributes.get("aria-labelledby")?.split(" ") ?? []) expect(ids).toContain(id);
});

test("a network of several rows is named once, in a heading that spans them", () => {
  const results = elements(page).find(({ attributes }) => attributes.get("id") === "results") as XmlElement;
  const heads = elements(results).filter(({ name, attributes }) => name === "th" && attributes.get("scope") !== "col");
  const rows = elements(results).filter(({ name, children }) => name === "tr" && children.some((child) => child.name === "td"));
  const spans = heads.map(({ attributes }) => Number(attributes.get("rowspan") ?? 1));
  expect(spans.reduce((sum, span) => sum + span, 0)).toBe(rows.length);
  expect(Math.max(...spans)).toBeGreaterThan(2);
  for (const { attributes } of heads) expect(attributes.get("scope")).toBe(attributes.has("rowspan") ? "rowgroup" : "row");
});

test("scaled runs are labelled at the top, in every table of the paper and in every legend entry of a network", () => {
  expect(byClass(page, "notice")[0]!.text).toContain("smaller than the paper's");
  const compared = elements(page).filter(({ name, attributes }) => name === "th" && attributes.get("class") === "ours");
  expect(compared.length).toBeGreaterThan(20);
  for (const head of compared) expect(head.text).toBe("ours scaled");
  const legends = byClass(page, "legend").flatMap(({ children }) => children);
  const entries = legends.filter(({ text }) => /resnet|intervention/.test(text));
  expect(entries.length).toBeGreaterThan(5);
  for (const entry of entries) expect(entry.text).toContain("(scaled)");
  const whole = report(rows.map((one) => ({ ...one, scaled: [] })));
  expect(whole.html.replace(/<style>[^]*?<\/style>/, "")).not.toContain("scaled");
  expect(whole.markdown.replace(/^\| Network \| Trained on.*$/m, "")).not.toContain("caled");
});

test("a hostile name is text everywhere, and nothing is loaded from elsewhere", () => {
  const evil = rows.map((one) => ({
    ...one,
    cell: { ...one.cell, name: `${one.cell.name} ${hostile}` },
    scaled: [hostile],
    ood: { ...one.ood, [hostile]: one.ood.svhn },
  }));
  const { html, markdown, svg } = report(evil);
  const clean = elements(page);
  const dirty = elements(parseXml(html));
  const kinds = (of: readonly XmlElement[]) => [...new Set(of.map(({ name }) => name))].sort();
  expect(kinds(dirty)).toEqual(kinds(clean));
  expect(kinds(dirty)).not.toContain("script");
  for (const { name, attributes } of dirty) {
    for (const [attribute, value] of attributes) {
      expect(attribute).not.toMatch(/^(on|src|xlink|data)/);
      if (attribute === "style") expect([name, value]).toEqual(["svg", expect.stringMatching(/^font-size: ?12px;?$/)]);
      if (attribute === "href") expect([name, value]).toEqual(["a", expect.stringMatching(/^(#[\w-]+|\.\.\/results\.jsonl)$/)]);
    }
  }
  expect(everything.html).not.toMatch(/https?:|url\(|@import/);
  expect(html).not.toContain("\u0001");
  for (const file of svg.values()) expect(kinds(elements(parseXml(file)))).not.toContain("script");
  // In Markdown, outside of code, "<" and "|" of a name always follow a backslash.
  expect(markdown).not.toMatch(/(?<!\\)<script|(?<!\\)\*bold/);
});

test("tables only: no packages are needed; with figures the error names the command that installs them", () => {
  const copy = mkdtempSync(join(tmpdir(), "report-"));
  made.push(copy);
  cpSync(join(packageRoot, "dist"), join(copy, "dist"), { recursive: true });
  cpSync(join(packageRoot, "package.json"), join(copy, "package.json"));
  for (const name of ["commander", "node-gyp-build"]) {
    cpSync(join(packageRoot, "node_modules", name), join(copy, "node_modules", name), { recursive: true });
  }
  const runs = runsFolder(linesOf(rows));
  made.push(runs);
  const out = join(copy, "somewhere", "new");
  const failed = run(copy, [runs, "--out", out]);
  expect(failed.status).toBe(1);
  expect(failed.stderr).toMatch(/^ERR_PLOT_NOT_FOUND: .*not installed; "npm install @observablehq\/plot linkedom" installs them/);
  const { stdout, status } = run(copy, [runs, "--out", out, "--no-figures"]);
  expect([stdout, status]).toEqual([`${join(out, "report.html")}\n${join(out, "report.md")}\n`, 0]);
  expect(readdirSync(out).sort()).toEqual(["report.html", "report.md"]);
});

test("a folder with a header alone: everything is named as not run", async () => {
  const runs = runsFolder(linesOf([]));
  made.push(runs);
  const written = await experiments.report(runs);
  expect([written.tables, written.figures]).toEqual([[], []]);
  expect(written.notRun).toHaveLength(10 + 8);
  parseXml(readFileSync(written.html, "utf8"));
});

test("options are checked", async () => {
  await expect(experiments.report(runsFolder(""), { output: "x" } as never)).rejects.toMatchObject({ code: "ERR_OPTION" });
  await expect(experiments.report(runsFolder(""), { figures: "no" } as never)).rejects.toMatchObject({ code: "ERR_OPTION" });
});

test("data sets that the paper does not have are in the table of all results", async () => {
  const digits = cell({ name: "digits" });
  const runs = runsFolder(linesOf([row(digits, 1, 6, { inDistribution: "mnist" })]));
  made.push(runs);
  const written = await experiments.report(runs, { figures: false });
  expect(written.tables).toEqual([]);
  expect(readFileSync(written.markdown, "utf8")).toMatch(/\| digits \(scaled\) \| SVHN \| max-softmax \| 0\.\d{3} \|/);
});
