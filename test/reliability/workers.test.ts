// Worker threads load the addon beside the main thread, and may end or be ended at any moment without harm to it. All of
// it happens in a process of its own, since a fault would end that process.

import { answerOf } from "./child";

test("a worker and the main thread compute at the same time and get the same", async () => {
  const { code, rounds, equal } = await answerOf<{ code: number; rounds: number; equal: boolean }>("workers.cjs", ["beside"]);
  expect({ code, equal }).toEqual({ code: 0, equal: true });
  expect(rounds).toBeGreaterThan(0);
});

test("four workers at once", async () => {
  expect(await answerOf("workers.cjs", ["four"])).toEqual({ codes: [0, 0, 0, 0], equal: true });
});

test.each(["extract", "fit"])("20 workers terminated in mid-%s; the main thread goes on computing", async (task) => {
  expect(await answerOf("workers.cjs", ["terminate", task, 20])).toEqual({ terminated: 20, still: 20 });
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
