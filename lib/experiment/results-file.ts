// The file results.jsonl: any number of processes append rows to it, one line at a time, and read it back after any kind of stop.

import { open, readFile, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { corruptFile, io, ioError, systemCode } from "../core/file-errors";
import { flush } from "../formats/flush";
import { parseJson } from "../formats/json";
import { requireDirectory } from "../core/make-directory";
import { withLease } from "../formats/lease";
import { differences, identityOf, type Identity, type RecordedConfiguration } from "./identity";
import { rowKey } from "./plan";
import { checkRow, RowProblem } from "./row-checks";
import type { HeaderRow, MeasurementRow, ResultRow } from "./rows";

/** The name of the file of rows in a folder of results. */
export const resultsFileName = "results.jsonl";
export const leasesFolder = "leases";

/**
 * The rows of a folder. {@link append} resolves when a row is complete and flushed to the disk. A part of a row that a killed writer left is cut off before
 * the next row is written. All writing is under a lease, so that no process cuts off a row that another is writing.
 */
export class ResultsFile {
  readonly #file: string;
  readonly #leases: string;
  #rows = new Map<string, MeasurementRow>();

  private constructor(directory: string) {
    this.#file = join(directory, resultsFileName);
    this.#leases = join(directory, leasesFolder);
  }

  /**
   * Opens the file of a folder, or makes it.
   *
   * @param header - header of this experiment
   * @throws ERR_OPTION if the folder holds results of another configuration, naming the fields that differ; ERR_IO if the file cannot be read or written;
   *   ERR_CORRUPT_FILE for a line that is no row
   */
  static async open(directory: string, header: HeaderRow): Promise<ResultsFile> {
    requireDirectory(directory);
    const results = new ResultsFile(directory);
    const found = await withLease(results.#leases, "results", async () => {
      const [first] = await results.#readRepaired();
      if (first === undefined) await results.#write(header, true);
      return first ?? header;
    });
    results.#requireSame(found, header);
    await results.refresh();
    return results;
  }

  /** Throws what {@link open} would throw for the folder, and leaves nothing there. */
  static async check(directory: string, header: HeaderRow): Promise<void> {
    const results = new ResultsFile(directory);
    const text = await readText(results.#file);
    const [first] = parseRows(results.#file, text.slice(0, text.lastIndexOf("\n") + 1));
    if (first !== undefined) results.#requireSame(first, header);
  }

  #requireSame(found: ResultRow, header: HeaderRow): void {
    if (found.kind !== "header") throw corruptFile(`${this.#file} line 1`, "a header", "a measurement");
    if (found.configurationHash === header.configurationHash) return;
    const different = differences(this.#identity(found), this.#identity(header));
    if (different.length === 0) return; // a file in which a set was renamed has the hash of its old name
    const message = `${dirname(this.#file)}: holds the results of another configuration; it differs in ${different.join(", ")}. Choose another folder`;
    throw new LibtorchOodError("ERR_OPTION", message);
  }

  /** The identity of a header. @throws ERR_CORRUPT_FILE for a header whose configuration is none */
  #identity({ configuration }: HeaderRow): Identity {
    try {
      return identityOf(configuration as RecordedConfiguration);
    } catch (cause) {
      throw corruptFile(`${this.#file} line 1`, "a header with a configuration", describe(configuration), cause);
    }
  }

  /** The measurement with this {@link rowKey}, as of the last {@link refresh}. */
  get(key: string): MeasurementRow | undefined {
    return this.#rows.get(key);
  }

  /** Reads the rows that other processes have written. */
  async refresh(): Promise<void> {
    this.#take(parseRows(this.#file, await readText(this.#file)));
  }

  /**
   * Appends a row, unless there is one of the same measurement.
   *
   * @param stillMine - function that is called when no other process can write, and says whether this process still holds the run
   * @throws ERR_BUSY, without writing, if `stillMine` resolves to false
   */
  async append(row: MeasurementRow, stillMine: () => Promise<boolean>): Promise<void> {
    await withLease(this.#leases, "results", async () => {
      if (!(await stillMine())) {
        const message = `${this.#file}: another process has taken over ${row.cell.name}, seed ${row.seed}: this one was taken for dead`;
        throw new LibtorchOodError("ERR_BUSY", message);
      }
      this.#take(await this.#readRepaired());
      const key = rowKey(row);
      if (this.#rows.has(key)) return;
      await this.#write(row, false);
      this.#rows.set(key, row);
    });
  }

  #take(rows: readonly ResultRow[]): void {
    this.#rows = new Map(rows.flatMap((row) => (row.kind === "measurement" ? [[rowKey(row), row]] : [])));
  }

  /** Reads all rows and cuts off a last line without end, which a killed writer left. To be called under the lease. */
  async #readRepaired(): Promise<ResultRow[]> {
    const text = await readText(this.#file);
    const end = text.lastIndexOf("\n") + 1;
    if (end < text.length) {
      await io("repair", this.#file, this.#with("r+", async (handle) => {
        await handle.truncate(Buffer.byteLength(text.slice(0, end)));
        await flush(handle);
      })); // prettier-ignore
    }
    return parseRows(this.#file, text.slice(0, end));
  }

  async #write(row: ResultRow, created: boolean): Promise<void> {
    const line = Buffer.from(`${JSON.stringify(row)}\n`);
    await this.#with("a", async (handle) => {
      try {
        const { bytesWritten } = await handle.write(line);
        if (bytesWritten !== line.length) throw ioError("write", this.#file, `${bytesWritten} of ${line.length} bytes were taken`);
        await flush(handle);
      } catch (error) {
        throw ioError("write", this.#file, error);
      }
    });
    if (created) await syncDirectory(join(this.#file, ".."));
  }

  async #with(flags: string, work: (handle: FileHandle) => Promise<void>): Promise<void> {
    const handle = await io("open", this.#file, open(this.#file, flags));
    try {
      await work(handle);
    } finally {
      await handle.close();
    }
  }
}

function parseRows(file: string, text: string): ResultRow[] {
  const lines = text.split("\n");
  lines.pop(); // what follows the last line end: nothing, or a row that is just being written
  return lines.map((line, index) => {
    const where = `${file} line ${index + 1}`;
    let value: unknown;
    try {
      value = parseJson(line);
    } catch (error) {
      throw corruptFile(where, "a row of JSON", JSON.stringify(line.slice(0, 60)), error);
    }
    try {
      return checkRow(value);
    } catch (error) {
      if (!(error instanceof RowProblem)) throw error;
      throw corruptFile(where, error.expected, error.found, error);
    }
  });
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (systemCode(error) === "ENOENT") return "";
    throw ioError("read", file, error);
  }
}

/** Flushes a directory, without which a new file may be lost in a power cut. Windows and some network file systems cannot flush one. */
async function syncDirectory(directory: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await io("flush", directory, open(directory, "r"));
  await flush(handle).catch(() => undefined);
  await handle.close();
}
