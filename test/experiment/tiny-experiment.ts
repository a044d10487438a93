// The small experiment and its data for tests in this process, and how to compare rows.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Dataset } from "../../lib";
import type { Configuration } from "../../lib/experiment/configuration";
import type { DatasetReaders } from "../../lib/experiment/data";
import { rowKey } from "../../lib/experiment/plan";
import type { HeaderRow, MeasurementRow, ResultRow } from "../../lib/experiment/rows";

interface TinyData {
  readers: (dataset: typeof Dataset) => DatasetReaders;
  tiny: { width: number; batchSize: number };
  smallExperiment: Configuration;
}

// eslint-disable-next-line @typescript-eslint/no-require-imports -- the programs, which run without compilation, use it too
const data = require("./programs/tiny-data.cjs") as TinyData;

export const { tiny, smallExperiment } = data;
export const readers = data.readers(Dataset);

export function readRows(directory: string): { header: HeaderRow; rows: MeasurementRow[] } {
  const text = readFileSync(join(directory, "results.jsonl"), "utf8");
  expect(text.endsWith("\n")).toBe(true);
  const all = text.trimEnd().split("\n").map((line) => JSON.parse(line) as ResultRow); // prettier-ignore
  const [header, ...rows] = all;
  expect(header?.kind).toBe("header");
  return { header: header as HeaderRow, rows: rows as MeasurementRow[] };
}

/** Rows by what they measure, without their timings; fails where a measurement is there twice. */
export function comparable(directory: string): Record<string, unknown> {
  const { rows } = readRows(directory);
  const found: Record<string, unknown> = {};
  for (const row of rows) {
    const key = rowKey(row);
    expect(found).not.toHaveProperty([key]);
    found[key] = { ...row, seconds: undefined, at: undefined };
  }
  return found;
}
