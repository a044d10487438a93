// The contents of a figure as plain data, which pure functions make from the rows and draw.ts draws.

import type { PlainTable } from "./plain-tables";
import { spread, type Network } from "./networks";
import { numberText } from "./numbers";

export interface Figure {
  readonly id: string;
  /** "Figure 3", or what it is where the paper has no such figure. */
  readonly title: string;
  readonly caption: string;
  /** Small multiples, side by side. */
  readonly panels: readonly Panel[];
  /** Numbers printed with the paper's figure beside ours. */
  readonly table: PlainTable | undefined;
}

export interface Panel {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  /** Both axes as long as each other: of one kind, so that a circle is one. */
  readonly square?: boolean;
  readonly series: readonly Series[];
}

export interface Axis {
  readonly label: string;
  /** A logarithmic axis takes no number from 0 down: those points are left out of the panel. */
  readonly log?: boolean;
  /** Epochs, indices: ticks are whole numbers. */
  readonly whole?: boolean;
  readonly domain?: readonly [number, number];
}

interface Named {
  readonly name: string;
  /** Which colour, symbol and dash; the same for one name through all panels of a figure. */
  readonly style: number;
}

/** Styles of a background series and of one that stands out against it; no name has them. */
export const quietStyle = -1;
export const outsideStyle = -2;

/** Over several seeds y is their mean, low and high their range; of one thing low and high are y. */
export interface LinePoint {
  readonly x: number;
  readonly y: number;
  readonly low: number;
  readonly high: number;
}

export interface DotPoint {
  readonly x: number;
  readonly y: number;
  /** What is said of it on hovering. */
  readonly title: string;
}

/** A bar from 0 to y; a series of bars is drawn as one outline. */
export interface Bar {
  readonly x1: number;
  readonly x2: number;
  readonly y: number;
}

export type Series =
  | (Named & { readonly mark: "line"; readonly points: readonly LinePoint[]; /** A dot on each point. */ readonly dots: boolean })
  | (Named & {
      readonly mark: "dots";
      readonly points: readonly DotPoint[];
      /** Its name stands amid its points. */ readonly named?: boolean;
    })
  | (Named & { readonly mark: "bars"; readonly points: readonly Bar[] });

/** Numbers names by their first use, so that a name has one style in all panels of a figure. */
export function styles(): (name: string) => number {
  const known = new Map<string, number>();
  return (name) => {
    const style = known.get(name) ?? known.size;
    known.set(name, style);
    return style;
  };
}

/** Mean and range over the seeds at each x, ascending; numbers that are not finite are left out. */
export function acrossSeeds(values: Iterable<readonly [x: number, y: number]>): LinePoint[] {
  const byX = new Map<number, number[]>();
  for (const [x, y] of values) byX.set(x, [...(byX.get(x) ?? []), y]);
  const points = [...byX].flatMap(([x, ys]): LinePoint[] => {
    const numbers = spread(ys);
    return numbers === undefined ? [] : [{ x, y: numbers.mean, low: numbers.min, high: numbers.max }];
  });
  return points.sort((a, b) => a.x - b.x);
}

/** "2 seeds" or "seed 3". */
export function seedsText(networks: readonly Network[]): string {
  const seeds = [...new Set(networks.flatMap((network) => network.rows.map((row) => row.seed)))];
  return seeds.length === 1 ? `seed ${seeds[0]}` : `${seeds.length} seeds`;
}

/** The points of a series that its panel can show: on a logarithmic axis those above 0. */
export function drawable<P extends LinePoint | DotPoint | Bar>(points: readonly P[], { x, y }: Pick<Panel, "x" | "y">): P[] {
  return points.filter((point) => (!x.log || ("x" in point ? point.x : point.x1) > 0) && (!y.log || point.y > 0));
}

/** What a panel shows, in words, for those who do not see it. */
export function describePanel(panel: Panel): string {
  const series = panel.series.map(({ name, points }) => {
    const ys = points.map((point) => point.y);
    const range = ys.length === 0 ? "" : `, ${numberText(Math.min(...ys))} to ${numberText(Math.max(...ys))}`;
    return `${name}: ${points.length} ${points.length === 1 ? "point" : "points"}${range}`;
  });
  return `${panel.y.label || panel.title} by ${panel.x.label}. ${series.join("; ")}.`;
}
