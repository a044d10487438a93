// However a process ends while it trains, it ends as it was asked to, soon, and without a word from the C++ runtime.

import { run, type Ending, type RunOptions } from "./child";

const times = 20;
const noise = /terminate called|abort|segmentation|fatal|assert/i;

/** The program ends after delays that fall on every part of a training step, itself some tens of milliseconds long. */
async function endings(
  args: (i: number) => (string | number)[],
  options: (i: number) => RunOptions = () => ({}),
  program = "ends-in-training.cjs",
): Promise<Ending[]> {
  const all: Ending[] = [];
  // Two at a time: the start of a process is mostly waiting for the disk.
  for (let i = 0; i < times; i += 2) {
    all.push(...(await Promise.all([i, i + 1].map((k) => run(program, args(k), options(k))))));
  }
  return all;
}

const summary = (all: Ending[]) => {
  const counts: Record<string, number> = {};
  for (const { code, signal } of all) counts[signal ?? String(code)] = (counts[signal ?? String(code)] ?? 0) + 1;
  return counts;
};

function expectQuiet(all: Ending[], expected: RegExp = /^$/): void {
  for (const { stderr, stdout, millisecondsToEnd } of all) {
    expect(stderr).toMatch(expected);
    expect(stderr).not.toMatch(noise);
    expect(stdout).not.toContain("finished");
    expect(millisecondsToEnd).toBeLessThan(2000);
  }
}

test("process.exit() in mid-training gives the code asked for", async () => {
  const all = await endings((i) => ["exit", 3 + i * 4]);
  expect(summary(all)).toEqual({ 7: times });
  expectQuiet(all);
});

test("process.exit() in mid-training, from a listener that calls it again with another code", async () => {
  const all = await endings((i) => ["exit twice", 3 + i * 4]);
  expect(summary(all)).toEqual({ 9: times });
  expectQuiet(all);
});

test("process.exit() in the main thread, which has not loaded the addon, while a worker trains", async () => {
  const all = await endings((i) => ["exit", "fit", 3 + i * 4], undefined, "workers.cjs");
  expect(summary(all)).toEqual({ 5: times });
  expectQuiet(all);
});

test("an uncaught exception in mid-training is reported and gives 1", async () => {
  const all = await endings((i) => ["throw", 3 + i * 4]);
  expect(summary(all)).toEqual({ 1: times });
  expectQuiet(all, /Error: thrown on purpose/);
});

test.each(["SIGTERM", "SIGINT"] as const)("%s in mid-training ends the process by that signal", async (signal) => {
  const all = await endings(
    () => ["stay", 0],
    (i) => ({ whenReady: (child) => setTimeout(() => child.kill(signal), 3 + i * 4) }),
  );
  expect(summary(all)).toEqual({ [signal]: times });
  expectQuiet(all);
});

test("a pending call keeps the process alive to its end, and nothing after it", async () => {
  for (let i = 0; i < times; i += 2) {
    const pair = await Promise.all([run("ends-by-itself.cjs", []), run("ends-by-itself.cjs", [])]);
    for (const ending of pair) {
      expect(ending).toMatchObject({ code: 0, signal: null, stdout: "started\ntrained 2 epochs\nexit 0\n", stderr: "" });
    }
  }
});
