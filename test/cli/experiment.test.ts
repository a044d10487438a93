// `libtorch-ood experiment run` and `report` on data sets in their official files: digits as the known classes, clothes as the others.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Configuration } from "../../lib/experiment/configuration";
import type { ResultRow } from "../../lib/experiment/rows";
import { packageRoot } from "../../lib/core/package-root";
import { temporaryDirectory } from "../support/temporary-directory";
import { cli, dataDirectory, good, json } from "./command";

const directory = temporaryDirectory();
const [out, configuration] = [directory.path("runs"), directory.path("digits.json")];
const run = (...more: string[]) => ["experiment", "run", configuration, "--data", dataDirectory, "--out", out, "--threads", "1", ...more];
interface Summary {
  finished: { cell: string; seed: number }[];
  failed: unknown[];
  skipped: string[];
}
const rows = () =>
  readFileSync(join(out, "results.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as ResultRow);

// The experiment of examples/, on fewer images and with smaller networks.
beforeAll(() => {
  const shipped = JSON.parse(readFileSync(join(packageRoot, "examples", "digits-experiment.json"), "utf8")) as Configuration;
  const cells = shipped.cells.map((cell) => ({ ...cell, epochs: 2, milestones: [1], batchSize: 32, width: 0.0625 }));
  writeFileSync(configuration, JSON.stringify({ ...shipped, subset: { train: 600, test: 100 }, cells }));
});

test("runs, does nothing twice, and reports what the rows say", async () => {
  expect(await json<{ cells: unknown[] }>(run("--dry-run"))).toMatchObject({
    cells: [{}, {}],
    data: {
      inDistribution: { name: "mnist", training: 540, validation: 60, test: 100 },
      outOfDistribution: [{ name: "fashion-mnist", images: 100 }],
    },
  });
  expect(existsSync(out)).toBe(false);
  const first = await json<Summary>(run());
  expect(first).toMatchObject({ finished: [{ seed: 1 }, { seed: 1 }], failed: [], skipped: [] });
  const made = rows();
  const again = await json<Summary>(run());
  expect(again.finished).toEqual(first.finished);
  expect(rows()).toEqual(made);

  const final = made.filter((row) => row.kind === "measurement").filter(({ final: last }) => last);
  expect(final.map(({ cell }) => cell.l2Normalize).sort()).toEqual([false, true]);
  await good(["experiment", "report", out]);
  const markdown = readFileSync(join(out, "report", "report.md"), "utf8");
  for (const { ood } of final) expect(markdown).toContain((ood["fashion-mnist"]?.["gaussian-mixture"]?.auroc as number).toFixed(3));
  expect(readFileSync(join(out, "report", "report.html"), "utf8")).toContain("<svg");
});

const onLinux = process.platform === "linux" ? test : test.skip;
onLinux("an output folder that cannot be made is an error before anything is trained", async () => {
  const refused = await cli(["experiment", "run", configuration, "--data", dataDirectory, "--out", "/proc/nope", "--threads", "1"]);
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/ERR_IO: cannot make \/proc\/nope/)]);
});

test("a device that is unavailable is refused by a preview as by a run", async () => {
  for (const more of [[], ["--dry-run"]]) {
    const refused = await cli(run("--device", "cuda:99", ...more));
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/ERR_DEVICE: device: "cuda:99" is unavailable/)]);
  }
});

test("a folder of another configuration, a misspelt preset and a data set that is not there are errors that name them", async () => {
  for (const [set, message] of [
    ["dtd", /outOfDistribution\[0\]: expected one of "cifar10"/],
    ["folder:dtd", /ERR_IO.*dtd/],
    ["cifar100", /cifar100 \(cannot find/],
  ] as const) {
    // prettier-ignore
    const refused = await cli(run("--dry-run", "--ood", set));
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(message)]);
  }
  const other = await cli(run("--subset", "300"));
  expect(other).toMatchObject({ code: 1, stderr: expect.stringMatching(/ERR_OPTION.*train/s) });
  expect(await cli(["experiment", "run", "tabel1", "--data", dataDirectory, "--out", out])).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/ERR_OPTION.*table1/s),
  });
  expect(await cli(["experiment", "run", "table1", "--data", dataDirectory, "--out", directory.path("elsewhere")])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("batches.meta.txt"),
  });
});
