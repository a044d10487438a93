// However a process ends while it trains, extracts or loads, it ends as it was asked to, soon, and without a word from the C++ runtime.

import { ResNet } from "../../lib";
import { temporaryDirectory } from "../support/temporary-directory";
import { counts, figures, times } from "./campaign";
import { run, type Ending, type RunOptions } from "./child";

const noise = /terminate called|abort|segmentation|fatal|assert/i;
const jobs = ["fit", "extract", "load", "onnx"] as const;
type Job = (typeof jobs)[number];

/** Training is what takes longest to stop; of the others a few in `npm test`. */
const timesOf = (job: Job): number => times(job === "fit" ? 20 : job === "onnx" ? 2 : 4, 100);

const directory = temporaryDirectory();
const file = directory.path("network.safetensors");

// Of 11 MB, so that a load has time for each of its parts.
beforeAll(async () => {
  const model = await ResNet.create({ numClasses: 10, width: 0.5 });
  await model.save(file);
  model.dispose();
});

/** The delays fall on every part of a step, itself some tens of milliseconds long. */
const delay = (i: number): number => 3 + ((i * 7) % 80);

async function endings(
  count: number,
  args: (i: number) => (string | number)[],
  options: (i: number) => RunOptions = () => ({}),
  program = "ends-in-mid-job.cjs",
): Promise<Ending[]> {
  const all: Ending[] = [];
  // Two at a time: the start of a process is mostly waiting for the disk.
  for (let i = 0; i < count; i += 2) {
    const pair = [i, i + 1].filter((k) => k < count);
    all.push(...(await Promise.all(pair.map((k) => run(program, args(k), options(k))))));
  }
  return all;
}

/** Ways in which they ended: "code 7", "SIGTERM". */
function waysOf(what: string, all: Ending[], more: Record<string, unknown> = {}): Record<string, number> {
  const ways = counts(all.map(({ code, signal }) => signal ?? `code ${code}`));
  const text = Object.entries(ways).map(([way, times]) => `${times} of ${all.length} with ${way}`);
  figures(`exit, ${what}`, { ended: text.join(", "), ...more });
  return ways;
}

function expectEndings(what: string, all: Ending[], expected: string, stderrExpected: RegExp = /^$/): void {
  const slowest = Math.max(...all.map(({ millisecondsToEnd }) => millisecondsToEnd));
  const ways = waysOf(what, all, { slowestMilliseconds: Math.round(slowest) });
  expect(ways).toEqual({ [expected]: all.length });
  for (const { stderr, stdout } of all) {
    expect(stderr).toMatch(stderrExpected);
    expect(stderr).not.toMatch(noise);
    expect(stdout).not.toContain("finished");
  }
  expect(slowest).toBeLessThan(2000);
}

describe.each(jobs)("in mid-%s", (job) => {
  const count = timesOf(job);

  test("process.exit() gives the code asked for", async () => {
    expectEndings(`${job}, process.exit`, await endings(count, (i) => [job, "exit", delay(i), file]), "code 7");
  });

  test("an uncaught exception is reported and gives 1", async () => {
    const all = await endings(count, (i) => [job, "throw", delay(i), file]);
    expectEndings(`${job}, uncaught exception`, all, "code 1", /Error: thrown on purpose/);
  });

  test.each(["SIGTERM", "SIGINT"] as const)("%s ends the process by that signal", async (signal) => {
    const all = await endings(
      count,
      () => [job, "stay", 0, file],
      (i) => ({ whenReady: (child) => setTimeout(() => child.kill(signal), delay(i)) }),
    );
    expectEndings(`${job}, ${signal}`, all, signal);
  });

  test("a pending call keeps the process alive to its end, and nothing after it", async () => {
    const done = {
      fit: "trained 2 epochs",
      extract: "extracted 128 rows",
      load: "loaded ResNet18",
      onnx: "extracted 128 rows of onnxruntime",
    }[job];
    const all = await endings(count, () => [job, file], undefined, "ends-by-itself.cjs");
    waysOf(`${job}, natural end`, all);
    for (const ending of all) {
      expect(ending).toMatchObject({ code: 0, signal: null, stdout: `started\n${done}\nexit 0\n`, stderr: "" });
    }
  });
});

test("process.exit() in mid-training, from a listener that calls it again with another code", async () => {
  const all = await endings(timesOf("fit"), (i) => ["fit", "exit twice", delay(i)]);
  expectEndings("fit, process.exit twice", all, "code 9");
});

test("process.exit() in the main thread, which has not loaded the addon, while a worker trains", async () => {
  const all = await endings(timesOf("fit"), (i) => ["exit", "fit", delay(i)], undefined, "workers.cjs");
  expectEndings("fit in a worker, process.exit of the main thread", all, "code 5");
});
