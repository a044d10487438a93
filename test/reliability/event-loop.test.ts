// Training, extraction, loading and copying leave the event loop free: other work of the process goes on as if nothing were computed.

import { figures } from "./campaign";
import { answerOf } from "./child";

interface Delays {
  ticks: number;
  milliseconds: number;
  median: number;
  p99: number;
  max: number;
}

// The goal is a p99 below 20 ms; what fails is 100 ms, since the compute thread uses every core and the operating system lets the timer's thread
// wait now and then.
test.each(["fit", "extract", "load", "copy"])("timers of 5 ms keep coming during %s", async (task) => {
  const found = await answerOf<Delays>("event-loop.cjs", [task]);
  const { ticks, milliseconds, median, p99, max } = found;
  const shown = Object.fromEntries(Object.entries({ median, p99, max }).map(([name, value]) => [name, Math.round(value * 10) / 10]));
  figures(`event loop, ${task}`, { seconds: Math.round(milliseconds / 1000), ...shown });
  expect(p99).toBeLessThan(100);
  expect(median).toBeLessThan(20);
  expect(ticks).toBeGreaterThan(milliseconds / 25);
});
