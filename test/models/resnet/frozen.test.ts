// A model that a program has frozen, or whose class names it has fixed: fit works, and never goes on after it has thrown.

import type { ResNet } from "../../../lib";
import { tinyData, tinyNetwork, useOneThread } from "./tiny-network";

useOneThread();

test.each<[string, (model: ResNet) => unknown]>([
  ["frozen", (model) => Object.freeze(model)],
  ["sealed, not extensible", (model) => Object.seal(model)],
  ["classNames read-only", (model) => Object.defineProperty(model, "classNames", { value: undefined, writable: false })],
  ["normalization read-only", (model) => Object.defineProperty(model, "normalization", { value: undefined, writable: false })],
])("%s", async (_, change) => {
  const model = await tinyNetwork();
  change(model);
  const reports = await model.fit(tinyData(32), { epochs: 1 });
  expect(reports).toHaveLength(1);
  expect(model.training).toBe(false);
});
