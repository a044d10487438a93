// Everything that the library does at once, for some seconds or (`npm run test:campaigns -- --seconds 1800 mixed-load`) for half an hour.

import { figures, seconds } from "./campaign";
import { answerOf } from "./child";

interface Found {
  done: Record<string, number>;
  wrong: string[];
  rss: Record<"first" | "middle" | "last", number>;
  delay: { p99: number; max: number };
}

test("training, extraction, scores, files, aborts, wrong calls and workers at once: the same numbers each time, and flat memory", async () => {
  const length = seconds(6);
  const { done, wrong, rss, delay } = await answerOf<Found>("mixed-load.cjs", [length], { limit: length * 2000 + 60_000 });
  const rounded = (values: Record<string, number>) =>
    Object.fromEntries(Object.entries(values).map(([key, value]) => [key, Math.round(value)]));
  figures("mixed load", { seconds: length, done, wrong: wrong.length, rssMebibytes: rounded(rss), eventLoopMilliseconds: rounded(delay) });
  expect(wrong).toEqual([]);
  for (const count of Object.values(done)) expect(count).toBeGreaterThan(0);
  expect(delay.p99).toBeLessThan(100);
  // In a few seconds the allocator's arenas, one per thread that has come by, are not all there yet.
  if (length >= 60) expect(rss.last - rss.middle).toBeLessThan(64);
});
