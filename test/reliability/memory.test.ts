// Memory of tensors, networks and calls goes back: after dispose(), and by collection where nobody disposes.

import { temporaryDirectory } from "../support/temporary-directory";
import { figures, times } from "./campaign";
import { answerOf } from "./child";

const directory = temporaryDirectory();

interface Memory {
  rss: number;
  external: number;
}

// In MiB. Each cycle of 1,000 makes 0.1 to 1 MiB, so that a leak of a twentieth of them would show, and in a campaign of 10,000 one of a few
// kilobytes. The allowance is for the allocator's arenas and V8's heap, whose size wanders by some MiB.
const allowance = { rss: 32, external: 4 };
const mebibytes = (value: number): number => Math.round(value * 10) / 10;

test.each([
  ["tensor, disposed", 1000, 10_000],
  ["tensor, dropped", 1000, 10_000],
  ["network, disposed", 1000, 10_000],
  ["network, dropped", 1000, 10_000],
  ["extraction, disposed", 300, 10_000],
  ["class statistics, disposed", 300, 10_000],
  ["mixture, disposed", 300, 10_000],
  ["mixture, dropped", 300, 10_000],
  ["nearest neighbours, disposed", 300, 10_000],
  ["virtual logit, disposed", 300, 10_000],
  ["aborted calls", 300, 10_000],
  ["statistics, streamed", 400, 4000],
  ["training, disposed", 100, 1000],
  ["failing calls", 200, 2000],
])("%s, %i times (in a campaign %i)", async (cycle, short, full) => {
  const count = times(short, full);
  const { before, middle, after } = await answerOf<Record<"before" | "middle" | "after", Memory>>("memory.cjs", [cycle, count], {
    nodeOptions: ["--expose-gc"],
    limit: 1e6,
  });
  const rss = [before, middle, after].map((memory) => mebibytes(memory.rss));
  figures(`memory, ${cycle}`, { cycles: count, rssMebibytes: rss, external: mebibytes(after.external - before.external) });
  expect(after.rss - before.rss).toBeLessThan(allowance.rss);
  expect(after.external - before.external).toBeLessThan(allowance.external);
});

// V8 collects when what it knows to be held has grown by some tens of MiB; it knows of native memory by what the handles
// report. Without that, 2,000 handles of a few bytes each would keep 2,000 MiB.
test("tensors that nobody disposes of are collected in time, unasked", async () => {
  const { before, after } = await answerOf<{ before: Memory; after: Memory }>("memory.cjs", ["tensor, dropped", 2000]);
  expect(after.rss - before.rss).toBeLessThan(300);
});

// Each object has 24 kB to 11 MB. The figures agree to the byte, unless V8 takes an external string of its own in between.
test("what V8 is told of each object is the size of its arrays, and nothing of it after dispose()", async () => {
  type Counted = Record<string, { grown: number; expected: number; left: number }>;
  const counted = await answerOf<Counted>("accounted-memory.cjs", [directory.path("object.safetensors")], { nodeOptions: ["--expose-gc"] });
  const wrong = Object.entries(counted).filter(
    ([, { grown, expected, left }]) => Math.abs(grown - expected) > 1024 || Math.abs(left) > 1024,
  );
  expect(wrong).toEqual([]);
  expect(Object.keys(counted)).toHaveLength(19);
});

test("an idle process gives the memory that calls took back to the system", async () => {
  const { before, kept, idle } = await answerOf<Record<"before" | "kept" | "idle", number>>("idle-memory.cjs", []);
  expect(kept - before).toBeGreaterThan(64); // else the test would show nothing
  expect(idle - before).toBeLessThan(0.5 * (kept - before));
});

// Every page of a fresh block costs a fault; where the machine is a virtual one, 8 MiB of them can take 40 ms.
test("the memory of a result that was disposed of serves the next call", async () => {
  const { faults } = await answerOf<{ faults: number }>("reused-memory.cjs", []);
  expect(faults).toBeLessThan(200);
});

// 256 GiB and more, which the system promises to no process here: when an object is made, in a job, and in one beside training.
test("more memory than there is gives ERR_OUT_OF_MEMORY, and the process goes on", async () => {
  const found = await answerOf<Record<string, string | number>>("too-much-memory.cjs", []);
  figures("out of memory", found);
  const code = "ERR_OUT_OF_MEMORY";
  expect(found).toEqual({ constructor: code, "compute thread": code, "beside training": code, trained: 3, after: 1 });
});

test("nothing of a finished call stays: promise, callbacks, results, network", async () => {
  const collected = await answerOf<Record<string, boolean>>("collected.cjs", [], { nodeOptions: ["--expose-gc"] });
  expect(collected).toEqual({
    network: true,
    callback: true,
    "promise of fit": true,
    "promise of extract": true,
    features: true,
    "aborted promise": true,
  });
});
