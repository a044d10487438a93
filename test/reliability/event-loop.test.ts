// Training and extraction leave the event loop free: other work of the process goes on as if nothing were computed.

import { answerOf } from "./child";

interface Delays {
  ticks: number;
  milliseconds: number;
  median: number;
  p99: number;
}

test.each(["fit", "extract"])("timers of 5 ms keep coming during %s", async (task) => {
  const { ticks, milliseconds, median, p99 } = await answerOf<Delays>("event-loop.cjs", [task]);
  expect(p99).toBeLessThan(100);
  expect(median).toBeLessThan(20);
  // The compute thread uses every core, so that the operating system lets the timer's thread wait now and then.
  expect(ticks).toBeGreaterThan(milliseconds / 25);
});
