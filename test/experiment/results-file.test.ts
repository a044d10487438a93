// results.jsonl: what is torn is cut off, what is damaged is named, another configuration is refused.

import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { resolveConfiguration } from "../../lib/experiment/configuration";
import { headerOf } from "../../lib/experiment/identity";
import { planOf, rowKey } from "../../lib/experiment/plan";
import { readResults, ResultsFile } from "../../lib/experiment/results-file";
import type { MeasurementRow } from "../../lib/experiment/rows";
import { temporaryDirectory } from "../files/temporary-directory";
import { libraryFailureOf } from "../resnet/tiny-network";
import { smallExperiment } from "./tiny-experiment";

const folder = temporaryDirectory();
const configuration = resolveConfiguration(smallExperiment, "it");
const header = (change: object = {}) => headerOf({ ...configuration, data: { train: "a" }, resized: {}, ...change }, undefined);
const { cell } = planOf(configuration).cells[0] as { cell: MeasurementRow["cell"] };
const row = (epoch: number): MeasurementRow =>
  ({ kind: "measurement", cell, seed: 1, phase: "training", epoch }) as unknown as MeasurementRow;
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
  expect((await readResults(directory)).map(({ kind }) => kind)).toEqual(["header", "measurement", "measurement"]);
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

it("names the line that is no row", async () => {
  const directory = folder.path("damaged");
  await (await ResultsFile.open(directory, header())).append(row(1), yes);
  appendFileSync(join(directory, "results.jsonl"), "{]\n");
  await expect(ResultsFile.open(directory, header())).rejects.toMatchObject({
    code: "ERR_CORRUPT_FILE",
    message: expect.stringContaining("line 3"),
  });
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
  expect(await readResults(directory)).toHaveLength(1);
});
