// Reads `results.jsonl` of a folder of runs, line by line. Every line must be sound, except for a last one that a killed writer left incomplete.

import { join } from "node:path";
import { corruptFile, io } from "../../core/file-errors";
import { openRegularFile } from "../../formats/regular-file";
import type { HeaderRow, MeasurementRow } from "../rows";
import { checkRow, RowProblem } from "../row-checks";

/** What a folder of results holds. */
export interface Results {
  /** What all rows were made with. */
  readonly header: HeaderRow;
  /**
   * The measurements. Of two with equal cell, seed, phase and epoch it has the later one: training that was stopped measures again what follows its
   * checkpoint.
   */
  readonly rows: readonly MeasurementRow[];
}

/** Largest line, which no row comes near: the limit keeps a file without line breaks from being read whole. */
const maxLineBytes = 1 << 28;
const newline = 0x0a;

/**
 * Reads the rows of `runs`/results.jsonl. It ignores a last line without line break unless that line is complete.
 *
 * @param runs - the folder that {@link run} wrote to
 * @throws ERR_IO if the file cannot be read; ERR_CORRUPT_FILE, with the number of the line, for a line that is no row, for a file that does not begin
 *   with a header, and for headers of two configurations
 * @example
 * const { rows } = await experiments.read("runs");
 * for (const { cell, seed, accuracy } of rows) console.log(cell.name, seed, accuracy);
 */
export async function read(runs: string): Promise<Results> {
  const path = join(runs, "results.jsonl");
  let header: HeaderRow | undefined;
  const rows = new Map<string, MeasurementRow>();
  for await (const { bytes, number, torn } of lines(path)) {
    const where = `${path} line ${number}`;
    let row;
    try {
      row = checkRow(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)));
    } catch (error) {
      if (torn && !(error instanceof RowProblem)) break;
      if (error instanceof RowProblem) throw corruptFile(where, error.expected, error.found);
      throw corruptFile(where, "a JSON object", `${bytes.length} bytes of which the parser says: ${(error as Error).message}`, error);
    }
    if (row.kind === "measurement") {
      if (header === undefined) throw corruptFile(where, "a header first", "a measurement");
      const key = rowKey(row);
      rows.delete(key); // a later row goes to its later place
      rows.set(key, row);
    } else if (header === undefined) {
      header = row;
    } else if (row.configurationHash !== header.configurationHash) {
      throw corruptFile(where, `the configuration ${header.configurationHash} of the first line`, row.configurationHash);
    }
  }
  if (header === undefined) throw corruptFile(`${path} line 1`, "a header", "no whole line");
  return { header, rows: [...rows.values()] };
}

/** Text that is equal for equal cells, whatever the order of their fields. */
export function cellKey({ cell, inDistribution }: MeasurementRow): string {
  const { name, depth, spectralNorm, avgPoolShortcut, l2Normalize, paperEpochs, epochs, milestones, batchSize, width, featureDim } = cell;
  return JSON.stringify([
    inDistribution,
    ...[name, depth, spectralNorm, avgPoolShortcut, l2Normalize, paperEpochs, epochs, milestones, batchSize, width, featureDim],
  ]);
}

function rowKey(row: MeasurementRow): string {
  return `${cellKey(row)} ${row.seed} ${row.phase} ${row.epoch}`;
}

interface Line {
  readonly bytes: Uint8Array;
  /** Number of the line, from 1. */
  readonly number: number;
  /** Whether it is the last line and has no line break. */
  readonly torn: boolean;
}

/** Splits a file at line feeds only, since a U+2028 in a name is no end of a line in JSON; skips empty lines. */
async function* lines(path: string): AsyncGenerator<Line> {
  const { handle } = await openRegularFile(path);
  try {
    const chunk = Buffer.alloc(1 << 20);
    let number = 1;
    let pieces: Buffer[] = [];
    let length = 0;
    for (;;) {
      const { bytesRead } = await io("read", path, handle.read(chunk, 0, chunk.length, null));
      if (bytesRead === 0) break;
      let start = 0;
      for (let end = chunk.indexOf(newline); end !== -1 && end < bytesRead; end = chunk.indexOf(newline, start)) {
        const bytes = Buffer.concat([...pieces, chunk.subarray(start, end)]);
        if (bytes.length > 0) yield { bytes, number, torn: false };
        number++;
        start = end + 1;
        pieces = [];
        length = 0;
      }
      pieces.push(Buffer.from(chunk.subarray(start, bytesRead)));
      length += bytesRead - start;
      if (length > maxLineBytes) throw corruptFile(`${path} line ${number}`, `at most ${maxLineBytes} bytes`, "more");
    }
    if (length > 0) yield { bytes: Buffer.concat(pieces), number, torn: true };
  } finally {
    await handle.close();
  }
}
