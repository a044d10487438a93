// A scope gives back what it owns, the newest first, once, on every way out.

import { Scope, type Disposable } from "../../lib/core/scope";

let log: string[];
beforeEach(() => (log = []));
const item = (name: string): Disposable => ({ dispose: () => void log.push(name) });

test("the newest first, after the work and its result", async () => {
  const result = await Scope.run(async (scope) => {
    scope.own(item("first"));
    scope.ownAll([item("second"), undefined, item("third")]);
    await Promise.resolve();
    log.push("work");
    return 7;
  });
  expect([result, log]).toEqual([7, ["work", "third", "second", "first"]]);
});

test("what the work throws comes through, after all is given back", async () => {
  const run = Scope.run((scope) => {
    scope.own(item("owned"));
    throw new Error("work");
  });
  await expect(run).rejects.toThrow("work");
  expect(log).toEqual(["owned"]);
});

test("what takes time is waited for", async () => {
  await Scope.run((scope) => {
    scope.own(item("older"));
    scope.own({ dispose: () => new Promise<void>((resolve) => setTimeout(() => resolve(void log.push("slow")), 5)) });
  });
  expect(log).toEqual(["slow", "older"]);
});

test("what is released stays; what is owned twice is given back once; nothing of undefined", async () => {
  const [kept, twice] = [item("kept"), item("twice")];
  const handed = await Scope.run((scope) => {
    scope.own(undefined);
    scope.own(twice);
    scope.own(twice);
    return scope.release(scope.own(kept));
  });
  expect([handed, log]).toEqual([kept, ["twice"]]);
  await Scope.run((scope) => {
    scope.ownAll([kept, twice]);
    scope.releaseAll();
  });
  expect(log).toEqual(["twice"]);
});

test("one that outlives a function ends when it is told to, once", () => {
  const scope = new Scope();
  scope.own(item("a"));
  scope.dispose();
  scope.dispose();
  expect(log).toEqual(["a"]);
});
