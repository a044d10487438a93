// Experiments that are killed: at random moments, and between the writes, flushes and renames of their files. What is left in the end is what
// an experiment that nobody disturbed leaves, but for the timings. Two processes in one folder do each part once.

import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../support/temporary-directory";
import { comparable } from "./tiny-experiment";

const folder = temporaryDirectory();
const program = join(__dirname, "programs", "small-experiment.cjs");

interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
}

/** @param kill milliseconds after the experiment has begun */
function run(out: string, { fatal, kill }: { fatal?: number; kill?: number } = {}): Promise<Ending> {
  const child = spawn(process.execPath, [program, out, ...(fatal === undefined ? [] : [String(fatal)])], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let stdout = "";
  let begun = false;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    if (begun || !stdout.includes("ready")) return;
    begun = true;
    if (kill !== undefined) setTimeout(() => child.kill("SIGKILL"), kill);
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code, signal, stdout }));
  });
}

const answer = ({ stdout }: Ending) =>
  JSON.parse(stdout.trimEnd().split("\n").at(-1) as string) as { finished: number; operations: number };
const startedIn = ({ stdout }: Ending) => stdout.split("\n").filter((line) => line.startsWith("started "));

/** Files that a reader could take for whole are; others are hidden ones of a writer that was killed. */
function expectTidy(out: string): void {
  expect(readdirSync(out).sort()).toEqual(["checkpoints", "leases", "results.jsonl"]);
  expect(readdirSync(join(out, "checkpoints"))).toEqual([]);
}

let expected: Record<string, unknown>;
let operations: number;
let milliseconds: number;

beforeAll(async () => {
  const began = performance.now();
  const ending = await run(folder.path("undisturbed"));
  milliseconds = performance.now() - began;
  expect(ending.code).toBe(0);
  ({ operations } = answer(ending));
  expected = comparable(folder.path("undisturbed"));
  expect(Object.keys(expected)).toHaveLength(12); // two cells, two seeds, three epochs
  expectTidy(folder.path("undisturbed"));
});

it("killed 20 times at random moments", async () => {
  let kills = 0;
  for (let round = 0; kills < 20; round++) {
    const out = folder.path(`killed-${round}`);
    for (;;) {
      // Of an experiment's own time about half is spent starting; a moment after its end kills nothing.
      const kill = kills < 20 ? (Math.random() * milliseconds) / 3 : undefined;
      const { code, signal } = await run(out, { kill });
      if (signal === "SIGKILL") kills++;
      else {
        expect(code).toBe(0);
        break;
      }
    }
    expect(comparable(out)).toEqual(expected);
    expectTidy(out);
  }
  expect(kills).toBeGreaterThanOrEqual(20);
}, 400_000); // as many processes

it("killed between the operations on its files, a write half done", async () => {
  const out = folder.path("operations");
  expect(operations).toBeGreaterThan(60);
  // Ever later in what is left, so that every kind of operation is met and each start gets somewhere.
  let kills = 0;
  for (let fatal = 1; ; fatal += 3) {
    const { code, signal } = await run(out, { fatal });
    if (signal === null) {
      expect(code).toBe(0);
      break;
    }
    expect(signal).toBe("SIGKILL");
    kills++;
  }
  expect(kills).toBeGreaterThan(8);
  expect(comparable(out)).toEqual(expected);
  expectTidy(out);
}, 400_000); // some twenty processes one after the other

it("two processes share a folder: each run is done by one of them", async () => {
  const out = folder.path("two");
  const endings = await Promise.all([run(out), run(out)]);
  expect(endings.map(({ code }) => code)).toEqual([0, 0]);
  expect(endings.map((ending) => answer(ending).finished)).toEqual([4, 4]);
  const started = endings.flatMap(startedIn);
  expect(new Set(started).size).toBe(4);
  expect(started).toHaveLength(4);
  expect(comparable(out)).toEqual(expected);
  expectTidy(out);
});
