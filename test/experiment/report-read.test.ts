// Reading results.jsonl: whole rows, torn ends, and lines that are wrong.

import { rmSync } from "node:fs";
import { join } from "node:path";
import * as experiments from "../../lib/experiment";
import { cell, everyRow, header, linesOf, row, runsFolder } from "./report-rows";

const folders: string[] = [];
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

function read(text: string | Uint8Array) {
  const folder = runsFolder(text);
  folders.push(folder);
  return experiments.read(folder);
}

const asWritten = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;
const rows = [row(cell(), 1, 5), row(cell(), 1, 6), row(cell({ name: "größer \u2028 <b>" }), 1, 6)];

test("what was written comes back", async () => {
  const all = everyRow();
  const results = await read(linesOf(all));
  expect(asWritten(results)).toEqual(asWritten({ header, rows: all }));
});

test("cut off at any byte of its last line, a file gives the lines before; also within a letter", async () => {
  const bytes = Buffer.from(linesOf(rows));
  const lastLine = bytes.lastIndexOf("\n", bytes.length - 2) + 1;
  const step = 97; // a prime: cuts fall on all kinds of places
  for (let end = lastLine; end < bytes.length - 1; end += step) {
    expect((await read(bytes.subarray(0, end))).rows).toHaveLength(2);
  }
  const letter = bytes.indexOf("ß", lastLine);
  expect((await read(bytes.subarray(0, letter + 1))).rows).toHaveLength(2);
  expect((await read(bytes.subarray(0, bytes.length - 1))).rows).toHaveLength(3); // whole but for its line break
});

test("a line that is longer than what is read at once", async () => {
  const logDensity = Array.from({ length: 100_000 }, (_, i) => i / 7);
  const long = row(cell(), 1, 6, { samples: { cifar10: { logDensity, features: undefined, labels: undefined } } });
  const results = await read(linesOf([long, ...rows.slice(2)]));
  expect(results.rows[0]!.samples!["cifar10"]!.logDensity).toEqual(logDensity);
  expect(results.rows).toHaveLength(2);
});

test("of equal rows the later one counts, whatever the order of a cell's fields", async () => {
  const again = { ...rows[0]!, cell: Object.fromEntries(Object.entries(rows[0]!.cell).reverse()) as never, loss: 7 };
  const results = await read(linesOf([...rows, again]));
  expect(results.rows.map(({ epoch, loss }) => [epoch, loss])).toEqual([
    [6, rows[1]!.loss],
    [6, rows[2]!.loss],
    [5, 7],
  ]);
});

test("a loss or a measure that is not defined is NaN", async () => {
  const undefinedThere = row(cell(), 1, 6, { loss: NaN, collapse: { ...rows[0]!.collapse, nc1: NaN } });
  const [found] = (await read(linesOf([undefinedThere]))).rows;
  expect([found!.loss, found!.collapse.nc1]).toEqual([NaN, NaN]);
});

test("file, line, field, what was expected and what was found", async () => {
  const wrong = async (text: string, line: number, message: RegExp) => {
    const folder = runsFolder(text);
    folders.push(folder);
    const error = await experiments.read(folder).then(
      () => undefined,
      (thrown: unknown) => thrown as { code: string; message: string },
    );
    expect(error).toMatchObject({ code: "ERR_CORRUPT_FILE" });
    expect(error!.message).toContain(`${join(folder, "results.jsonl")} line ${line}:`);
    expect(error!.message).toMatch(message);
  };
  const start = linesOf(rows);
  const changed = (change: (object: Record<string, never>) => void) => {
    const object = asWritten(rows[0]!) as unknown as Record<string, never>;
    change(object);
    return `${start}${JSON.stringify(object)}\n`;
  };
  await wrong(`${start}{"kind": "measurement", \n${JSON.stringify(rows[0])}\n`, 5, /expected a JSON object/);
  await wrong(`${start}[1]\n`, 5, /expected an object, found an array of length 1/);
  await wrong(`${start}{"kind":"other"}\n`, 5, /kind to be one of "header", "measurement", found "other"/);
  await wrong(
    changed((o) => Object.assign(o["cell"]!, { depth: 34 })),
    5,
    /cell\.depth to be one of 18, 50, found 34/,
  );
  await wrong(
    changed((o) => Object.assign(o["ood"]!["svhn"]!["gaussian-mixture"]!, { auroc: 1.5 })),
    5,
    /ood\["svhn"\]\["gaussian-mixture"\].auroc to be a number from 0 to 1, found 1\.5/,
  );
  await wrong(
    changed((o) => delete o["scaled"]),
    5,
    /scaled to be a list, found nothing/,
  );
  await wrong(
    changed((o) => Object.assign(o, { accuracy: null })),
    5,
    /accuracy to be a number from 0 to 1, found null/,
  );
  await wrong(
    `${start}${JSON.stringify({ ...header, configurationHash: "other" })}\n`,
    5,
    /configuration 4f1c of the first line, found other/,
  );
  await wrong(start.slice(start.indexOf("\n") + 1), 1, /a header first, found a measurement/);
  await wrong(`${JSON.stringify({ ...header, version: 2 })}\n`, 1, /version to be 1, found 2/);
  await wrong(
    changed((o) => Object.assign(o, { ood: { tinyimagenet: {} } })),
    5,
    /ood to be free of the name "tinyimagenet": replace it with "tiny-imagenet"/,
  );
  await wrong("", 1, /a header, found no whole line/);
  await wrong('{"kind":"hea', 1, /a header, found no whole line/);
});

test("a torn end that is whole JSON but no row is an error: no writer stops in the middle of an object and closes it", async () => {
  await expect(read(`${linesOf(rows)}{"kind":"measurement"}`)).rejects.toMatchObject({ code: "ERR_CORRUPT_FILE" });
});

test("a folder without results", async () => {
  await expect(experiments.read(join(runsFolder(""), "nowhere"))).rejects.toMatchObject({ code: "ERR_IO" });
});
