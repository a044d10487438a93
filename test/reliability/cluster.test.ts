// Node's cluster module: processes that share a port each have a library of their own, and the loss of one is no loss to the others.

import { figures, times } from "./campaign";
import { answerOf } from "./child";

interface Found {
  answered: number;
  asked: number;
  answeredDuringKill: number;
  processes: [number, number];
  endings: (string | number)[];
}

test("four processes answer by extraction; one is killed and replaced; all end well", async () => {
  const found = await answerOf<Found>("cluster.cjs", [times(128, 4000)], { limit: 110_000 });
  figures("cluster of 4", { ...found });
  expect(found.answered).toBe(found.asked);
  expect(found.answeredDuringKill).toBeGreaterThan(0);
  expect(found.processes).toEqual([4, 4]);
  expect(found.endings).toEqual(["SIGKILL", 0, 0, 0, 0]);
});
