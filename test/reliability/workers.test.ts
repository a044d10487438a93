// Worker threads load the addon beside the main thread, and may end or be ended at any moment without harm to it. All of
// it happens in a process of its own, since a fault would end that process.

import { ResNet } from "../../lib";
import { temporaryDirectory } from "../support/temporary-directory";
import { figures, times } from "./campaign";
import { answerOf } from "./child";

const directory = temporaryDirectory();
const file = directory.path("network.safetensors");

beforeAll(async () => {
  const model = await ResNet.create({ numClasses: 10, width: 0.5 });
  await model.save(file);
  model.dispose();
});

test("a worker and the main thread compute at the same time and get the same", async () => {
  const { code, rounds, equal } = await answerOf<{ code: number; rounds: number; equal: boolean }>("workers.cjs", ["beside"]);
  expect({ code, equal }).toEqual({ code: 0, equal: true });
  expect(rounds).toBeGreaterThan(0);
});

test("four workers at once", async () => {
  expect(await answerOf("workers.cjs", ["four"])).toEqual({ codes: [0, 0, 0, 0], equal: true });
});

// One at a time, where each ends in a process that does nothing else, and eight at once, which contend for everything.
test.each([
  ["fit", 1, 20],
  ["extract", 1, 20],
  ["fit", 8, 8],
  ["extract", 8, 8],
  ["load", 8, 8],
  ["onnx", 4, 4],
])("workers terminated in mid-%s, %i at once; the main thread goes on computing", async (job, atOnce, short) => {
  const count = times(short, 100);
  const found = await answerOf<object>("workers.cjs", ["terminate", job, count, atOnce, file], { limit: 1e6 });
  figures(`workers terminated, ${job}, ${atOnce} at once`, { ...found });
  const waves = Math.ceil(count / atOnce);
  expect(found).toEqual({ terminated: count, waves, still: waves });
});

test("a worker that calls process.exit() in a callback of its training", async () => {
  expect(await answerOf("workers.cjs", ["natural", "exit"])).toMatchObject({ code: 3, values: 32 * 64 });
});

test("a worker that ends with networks and tensors that nobody disposed of", async () => {
  expect(await answerOf("workers.cjs", ["natural", "leave"])).toEqual({ code: 0, messages: [], values: 32 * 64 });
});

test("a pending call keeps a worker alive until it is settled", async () => {
  expect(await answerOf("workers.cjs", ["natural", "pending"])).toEqual({ code: 0, messages: [3], values: 32 * 64 });
});
