// Draws figures as SVG with Observable Plot over linkedom, two optional peer dependencies that are loaded here alone.

import { LibtorchOodError } from "../../core/errors";
import { systemCode } from "../../core/file-errors";
import { describePanel, drawable, outsideStyle, quietStyle, type Axis, type Figure, type Panel, type Series } from "./figure";
import { numberText } from "./numbers";
import { xmlCharacters } from "./xml-characters";

/** A figure as SVG texts; colours are CSS variables (`--series-0` …), text is `currentColor`. Each is well-formed XML but for its namespace. */
export interface Drawing {
  readonly panels: readonly string[];
  readonly legend: readonly LegendEntry[];
}

export interface LegendEntry {
  readonly name: string;
  readonly swatch: string;
}

export const seriesColours = 10;
const width = 400;
const height = 290;
const margins = { left: 58, right: 14, top: 28, bottom: 42 };
const squareHeight = width - margins.left - margins.right + margins.top + margins.bottom;
const swatchSize = { width: 34, height: 14 };
/** Colour alone tells nobody apart in print or to the colour-blind: each style also has a symbol and a dash. */
const symbols = ["circle", "square", "triangle", "diamond", "cross", "star", "wye"] as const;
const dashes = [undefined, "7 3", "2 3", "8 3 2 3"] as const;

/**
 * Loads what draws.
 *
 * @throws ERR_PLOT_NOT_FOUND with the command that installs it
 */
export async function loadDraw(): Promise<(figure: Figure) => Drawing> {
  const library = await libraries();
  return (figure) => ({
    panels: figure.panels.map((panel, i) => drawPanel(library, panel, `${figure.title}: ${panel.title}`, `${figure.id}-${i + 1}`)),
    legend: legendOf(library, figure),
  });
}

async function libraries() {
  try {
    const [plot, { DOMParser }] = await Promise.all([import("@observablehq/plot"), import("linkedom")]);
    // An XML document: what it serialises is escaped also where an HTML one would leave "<" in an attribute.
    return { plot, document: new DOMParser().parseFromString("<svg/>", "image/svg+xml") as unknown as Document };
  } catch (cause) {
    const reason = systemCode(cause) === "ERR_MODULE_NOT_FOUND" ? "they are not installed" : (cause as Error).message;
    throw new LibtorchOodError(
      "ERR_PLOT_NOT_FOUND",
      `the figures of a report need @observablehq/plot and linkedom: ${reason}; "npm install @observablehq/plot linkedom" installs them`,
      { cause },
    );
  }
}

type Libraries = Awaited<ReturnType<typeof libraries>>;

/** The part of a DOM that is used here: the library is compiled without the types of browsers. */
interface Element {
  textContent: string;
  setAttribute(name: string, value: string): void;
  remove(): void;
  prepend(...nodes: Element[]): void;
  querySelector(selector: string): Element | null;
  toString(): string;
}

interface Document {
  createElementNS(namespace: string, name: string): Element;
}

function drawPanel({ plot, document }: Libraries, panel: Panel, title: string, id: string): string {
  const svg = plot.plot({
    document: document as never,
    className: "plot",
    width,
    height: panel.square ? squareHeight : height,
    marginLeft: margins.left,
    marginRight: margins.right,
    marginTop: margins.top,
    marginBottom: margins.bottom,
    style: { fontSize: "12px" },
    x: scale(panel.x, extentOf(panel, "x"), { labelAnchor: "center" }),
    y: scale(panel.y, extentOf(panel, "y"), { grid: true, labelOffset: 52 }),
    marks: panel.series.flatMap((series, i) => marks(plot, series, panel, i)),
  }) as unknown as Element;
  const element = (name: string, text: string): Element => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    made.setAttribute("id", `${id}-${name}`);
    made.textContent = text;
    return made;
  };
  svg.querySelector("style")?.remove(); // the page and the files have their own
  svg.prepend(element("title", title), element("desc", describePanel(panel)));
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-labelledby", `${id}-title`);
  svg.setAttribute("aria-describedby", `${id}-desc`);
  return xmlCharacters(svg.toString());
}

/** Marks of series i carry the classes `line-i`, `dots-i`, `bars-i` and `band-i`, one element a point but for lines and bands, one a series. */
function marks(plot: Libraries["plot"], series: Series, panel: Pick<Panel, "x" | "y">, i: number) {
  const colour = colourOf(series.style);
  if (series.mark === "bars") {
    const points = drawable(series.points, panel);
    // Outlines: areas of several sets laid over one another are told apart by nobody.
    const [first, last] = [points[0], points.at(-1)];
    const outline = first === undefined || last === undefined ? [] : [[first.x1, 0], ...points.flatMap(({ x1, x2, y }) => [[x1, y], [x2, y]]), [last.x2, 0]]; // prettier-ignore
    const stroke = { stroke: colour, strokeWidth: 1.75, strokeDasharray: dashOf(series.style) };
    return [plot.line(outline as [number, number][], { ...stroke, className: `bars-${i}` })];
  }
  if (series.mark === "dots") {
    const points = drawable(series.points, panel);
    const look = {
      fill: colour,
      fillOpacity: series.style === quietStyle ? 0.35 : 0.75,
      symbol: symbolOf(series.style),
      r: series.named ? 3.5 : 2.5,
    };
    return [
      plot.dot(points, { x: "x", y: "y", ...look, title: (point: { title: string }) => point.title, className: `dots-${i}` }),
      ...(series.named ? [nameAmid(plot, series.name, points, i)] : []),
    ];
  }
  const points = drawable(series.points, panel);
  const band = points.filter((point) => !panel.y.log || point.low > 0);
  const stroke = { stroke: colour, strokeWidth: 1.75, strokeDasharray: dashOf(series.style) };
  const title = (point: { x: number; y: number }): string => `${series.name}: ${tick(point.x)}, ${numberText(point.y)}`;
  return [
    ...(band.some((point) => point.low < point.high)
      ? [plot.areaY(band, { x: "x", y1: "low", y2: "high", fill: colour, fillOpacity: 0.15, className: `band-${i}` })]
      : []),
    plot.line(points, { x: "x", y: "y", ...stroke, className: `line-${i}` }),
    ...(series.dots
      ? [plot.dot(points, { x: "x", y: "y", fill: colour, symbol: symbolOf(series.style), r: 2.5, title, className: `dots-${i}` })]
      : []),
  ];
}

/** Colours and symbols of ten classes are hard to find in a legend: the name stands where the points are. */
function nameAmid(plot: Libraries["plot"], name: string, points: readonly { x: number; y: number }[], i: number) {
  const middle = (axis: "x" | "y"): number => points.reduce((sum, point) => sum + point[axis], 0) / points.length;
  const place = points.length === 0 ? [] : [{ x: middle("x"), y: middle("y") }];
  const look = { fontSize: 13, fontWeight: 600, fill: "currentColor", stroke: "var(--paper)", strokeWidth: 4 };
  return plot.text(place, { x: "x", y: "y", text: () => name, ...look, className: `name-${i}` });
}

function legendOf(library: Libraries, figure: Figure): LegendEntry[] {
  const byName = new Map<string, Series>();
  for (const series of figure.panels.flatMap((panel) => panel.series)) if (!byName.has(series.name)) byName.set(series.name, series);
  return [...byName.values()].map((series) => ({ name: series.name, swatch: swatch(library, series) }));
}

function swatch({ plot, document }: Libraries, series: Series): string {
  const axes = { x: { label: "", domain: [0, 2] }, y: { label: "", domain: [0, 1] } } as const;
  const line = [0, 1, 2].map((x) => ({ x, y: 0.5, low: 0.5, high: 0.5 }));
  const samples = {
    line: { ...series, mark: "line", points: line, dots: false },
    dots: { name: series.name, style: series.style, mark: "dots", points: [{ x: 1, y: 0.5, title: "" }] },
    bars: { ...series, mark: "bars", points: [{ x1: 0.5, x2: 1.5, y: 1 }] },
  } as const;
  const shown: Series[] = [samples[series.mark]];
  if (series.mark === "line" && series.dots) shown.push(samples.dots);
  const svg = plot.plot({
    document: document as never,
    className: "plot",
    ...swatchSize,
    margin: 2,
    x: { axis: null, domain: axes.x.domain },
    y: { axis: null, domain: axes.y.domain },
    marks: shown.flatMap((sample, i) => marks(plot, sample, axes, i)),
  }) as unknown as Element;
  svg.querySelector("style")?.remove();
  svg.setAttribute("aria-hidden", "true");
  return svg.toString();
}

function scale(axis: Axis, [low, high]: readonly [number, number], rest: object) {
  const domain: [number, number] = low < high ? [low, high] : [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const type = axis.log ? ("log" as const) : ("linear" as const);
  const ticks = axis.log ? logTicks(...domain) : axis.whole ? linearTicks(...domain, 1) : 6;
  return {
    label: axis.label,
    labelArrow: "none" as const,
    type,
    domain,
    ticks,
    tickFormat: tick,
    nice: !axis.domain && !axis.log,
    ...rest,
  };
}

/** The axis' own domain, or that of what is drawn; bars stand on 0. */
function extentOf(panel: Panel, axis: "x" | "y"): readonly [number, number] {
  const given = panel[axis].domain;
  if (given !== undefined) return given;
  let low = Infinity;
  let high = -Infinity;
  const take = (value: number): void => {
    if (panel[axis].log && value <= 0) return;
    low = Math.min(low, value);
    high = Math.max(high, value);
  };
  for (const point of panel.series.flatMap(({ points }) => drawable<(typeof points)[number]>(points, panel))) {
    if (axis === "x") ("x" in point ? [point.x] : [point.x1, point.x2]).forEach(take);
    else ("low" in point ? [point.low, point.high, point.y] : "x1" in point ? [0, point.y] : [point.y]).forEach(take);
  }
  return low <= high ? [low, high] : panel[axis].log ? [1, 10] : [0, 1];
}

/** About six multiples of 1, 2 or 5 times a power of ten, `least` or more apart. */
export function linearTicks(low: number, high: number, least = 0): number[] {
  const rough = Math.max((high - low) / 6, least);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5].find((factor) => factor * power >= rough * (1 - 1e-9)) ?? 10) * power;
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Powers of ten, with their doubles and fivefolds where these are few; within less than a decade as on a linear axis. */
export function logTicks(low: number, high: number): number[] {
  const decades = Math.log10(high / low);
  const factors = decades < 2.5 ? [1, 2, 5] : [1];
  const step = Math.max(1, Math.ceil(decades / 8));
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += step) {
    for (const factor of factors) ticks.push(Number(`${factor}e${power}`));
  }
  const within = ticks.filter((value) => value >= low && value <= high);
  return within.length > 2 ? within : linearTicks(low, high);
}

function tick(value: number): string {
  const size = Math.abs(value);
  const text =
    size !== 0 && (size >= 1e6 || size < 1e-3)
      ? value
          .toExponential(2)
          .replace(/\.?0+e/, "e")
          .replace("e+", "e")
      : String(Number(value.toPrecision(4)));
  return text.replace(/-/g, "−");
}

function colourOf(style: number): string {
  if (style === quietStyle) return "var(--quiet)";
  return style === outsideStyle ? "var(--ink)" : `var(--series-${style % seriesColours})`;
}

function symbolOf(style: number) {
  if (style === quietStyle) return "circle";
  return style === outsideStyle ? "cross" : (symbols[style % symbols.length] as (typeof symbols)[number]);
}

function dashOf(style: number): string | undefined {
  return dashes[Math.max(0, style) % dashes.length];
}
