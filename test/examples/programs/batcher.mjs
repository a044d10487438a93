// The batcher of examples/server on work that is no detector's: what goes into which batch, and what becomes of those who leave; prints it as JSON.

import { setTimeout as pause } from "node:timers/promises";
import { Batcher } from "../../../examples/server/batcher.mjs";

const never = new AbortController().signal;
const outcome = (promise) => promise.then((value) => value, (error) => `rejected: ${error.message}`); // prettier-ignore

/** Computes each batch when `finish` is called; remembers the batches. */
function slow() {
  const batches = [];
  const finish = [];
  const compute = (items, signal) => {
    const batch = { items, aborted: false };
    batches.push(batch);
    signal.addEventListener("abort", () => (batch.aborted = true));
    return new Promise((resolve, reject) => finish.push({ reject, resolve: () => resolve(items.map((value) => ({ value: value * 10 }))) }));
  };
  return { batches, finish, compute };
}

const results = {};

{
  const { batches, finish, compute } = slow();
  const batcher = new Batcher(compute, { maxBatch: 3 });
  const answers = [1, 2].map((item) => batcher.submit(item, never)); // together in one turn: together in a batch
  await pause(5);
  answers.push(...[3, 4, 5, 6, 7].map((item) => batcher.submit(item, never))); // while it computes the next gather, three at most
  for (let i = 0; i < 3; i++) {
    await pause(5);
    finish[i].resolve();
  }
  results.together = { batches: batches.map(({ items }) => items), answers: await Promise.all(answers) };
}

{
  const { batches, finish, compute } = slow();
  const batcher = new Batcher(compute, { maxBatch: 4, maxWait: 60_000 });
  const answers = [outcome(batcher.submit(1, never))];
  await pause(10);
  const before = batches.length;
  answers.push(...[2, 3, 4].map((item) => batcher.submit(item, never))); // full: no more waiting
  await pause(5);
  const full = batches.length;
  answers.push(batcher.submit(5, never));
  finish[0].resolve();
  await pause(5);
  const waiting = batcher.waiting;
  batcher.end();
  await pause(5);
  finish[1].resolve();
  results.company = { before, full, waiting, batches: batches.map(({ items }) => items), answers: await Promise.all(answers) };
}

{
  const { batches, finish, compute } = slow();
  const batcher = new Batcher(compute, { maxBatch: 2 });
  const leavers = [1, 2, 3, 4].map(() => new AbortController());
  const answers = leavers.map(({ signal }, i) => outcome(batcher.submit(i + 1, signal)));
  await pause(5);
  leavers[0].abort(new Error("gone 1"));
  const afterOne = batches[0].aborted;
  leavers[1].abort(new Error("gone 2")); // nobody waits for the batch any more
  leavers[2].abort(new Error("gone 3")); // in no batch yet: gets into none
  finish[0].reject(new Error("aborted"));
  await pause(5);
  finish[1].resolve();
  results.leaving = {
    afterOne,
    aborted: batches[0].aborted,
    batches: batches.map(({ items }) => items),
    answers: await Promise.all(answers),
  };
}

{
  let calls = 0;
  const compute = async (items) => {
    if (calls++ === 0) throw new Error("failed");
    return items.map((item) => (item === 3 ? { error: new Error("bad item") } : { value: item }));
  };
  const batcher = new Batcher(compute, { maxBatch: 2 });
  const answers = [1, 2, 3, 4].map((item) => outcome(batcher.submit(item, never)));
  const late = AbortSignal.abort(new Error("too late"));
  results.failing = await Promise.all([...answers, outcome(batcher.submit(5, late))]);
}

console.log(JSON.stringify(results));
