// results.jsonl: what is torn is cut off, what is damaged is named, another configuration is refused.

import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { resolveConfiguration } from "../../lib/experiment/configuration";
import { headerOf } from "../../lib/experiment/identity";
import { planOf, rowKey } from "../../lib/experiment/plan";
import { ResultsFile } from "../../lib/experiment/results-file";
import type { MeasurementRow } from "../../lib/experiment/rows";
import { temporaryDirectory } from "../support/temporary-directory";
import { libraryFailureOf } from "../models/resnet/tiny-network";
import { row as fullRow } from "./report-rows";
import { readRows, smallExperiment } from "./tiny-experiment";

const folder = temporaryDirectory();
const configuration = resolveConfiguration(smallExperiment, "it");
const header = (change: object = {}) =>
  headerOf({ ...configuration, data: { train: "a" }, resized: {}, conformed: {}, classNames: ["a"], ...change }, undefined);
const { cell } = planOf(configuration).cells[0] as { cell: MeasurementRow["cell"] };
const row = (epoch: number): MeasurementRow => fullRow(cell, 1, epoch);
const kindsIn = (directory: string): unknown[] => readRows(directory).rows.map(({ kind }) => kind);
const yes = async () => true;

it("keeps rows, each measurement once, and reads what others wrote", async () => {
  const directory = folder.path("rows");
  const [a, b] = [await ResultsFile.open(directory, header()), await ResultsFile.open(directory, header())];
  await a.append(row(1), yes);
  await b.append(row(1), yes);
  await b.append(row(2), yes);
  expect(a.get(rowKey(row(2)))).toBeUndefined();
  await a.refresh();
  expect(a.get(rowKey(row(2)))).toEqual(JSON.parse(JSON.stringify(row(2))));
  expect(kindsIn(directory)).toEqual(["measurement", "measurement"]);
});

it("cuts off what a killed writer left, wherever it was killed", async () => {
  const directory = folder.path("torn");
  const file = join(directory, "results.jsonl");
  await (await ResultsFile.open(directory, header())).append(row(1), yes);
  const whole = readFileSync(file);
  for (let length = 0; length < whole.length; length += 97) {
    writeFileSync(file, whole.subarray(0, length));
    const results = await ResultsFile.open(directory, header());
    await results.append(row(1), yes);
    expect(readFileSync(file)).toEqual(whole);
  }
});

it.each([
  ["no JSON", "{]", "a row of JSON"],
  ["null", "null", "an object"],
  ["a list", "[1]", "an object"],
  ["a measurement without its fields", '{"kind":"measurement"}', "cell to be an object"],
  ["a cell that is none", '{"kind":"measurement","cell":null}', "cell to be an object"],
  ["of another kind", '{"kind":"note"}', "kind to be"],
])("names the line that is no row: %s", async (name, line, expected) => {
  const directory = folder.path(name);
  await (await ResultsFile.open(directory, header())).append(row(1), yes);
  appendFileSync(join(directory, "results.jsonl"), `${line}\n`);
  const error = await libraryFailureOf(() => ResultsFile.open(directory, header()));
  expect(error.code).toBe("ERR_CORRUPT_FILE");
  expect(error.message).toContain(`results.jsonl line 3: expected ${expected}`);
});

it.each([null, 1, {}, { measurements: null }])("a header whose configuration is %j is damaged", async (wrong) => {
  const directory = folder.path(`header ${JSON.stringify(wrong)}`);
  await ResultsFile.open(directory, header());
  const other = { ...header(), configuration: wrong, configurationHash: "other" };
  writeFileSync(join(directory, "results.jsonl"), `${JSON.stringify(other)}\n`);
  await expect(ResultsFile.open(directory, header())).rejects.toMatchObject({ code: "ERR_CORRUPT_FILE" });
});

it("refuses the rows of another configuration, naming the fields; more cells, seeds and measurements are welcome", async () => {
  const directory = folder.path("mixed");
  await ResultsFile.open(directory, header());
  await ResultsFile.open(
    directory,
    header({ seeds: 5, cells: [], measurements: { ...configuration.measurements, every: 7 }, name: "other" }),
  );
  const training = { ...configuration.training, learningRate: 0.2 };
  const error = await libraryFailureOf(() => ResultsFile.open(directory, header({ training, data: { train: "b" } })));
  expect(error.code).toBe("ERR_OPTION");
  expect(error.message).toContain('training.learningRate (0.1 there, 0.2 here), data.train ("a" there, "b" here)');
});

it("writes nothing for a process that was taken for dead", async () => {
  const directory = folder.path("lost");
  const results = await ResultsFile.open(directory, header());
  await expect(results.append(row(1), async () => false)).rejects.toMatchObject({ code: "ERR_BUSY" });
  expect(kindsIn(directory)).toEqual([]);
});

it("a folder in which a set was renamed throughout is no other configuration", async () => {
  const directory = folder.path("renamed");
  await ResultsFile.open(directory, header({ outOfDistribution: ["tinyimagenet"] }));
  const file = join(directory, "results.jsonl");
  writeFileSync(file, readFileSync(file, "utf8").replaceAll("tinyimagenet", "tiny-imagenet"));
  await ResultsFile.open(directory, header({ outOfDistribution: ["tiny-imagenet"] }));
});
