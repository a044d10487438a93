// What the scores of logits alone share: the temperature, and a formula that a row's own logits give.

import type { NumberMatrix } from "../metrics/scores";
import type { Fitted } from "./define";
import { positiveOption } from "./option";
import { scoreRows } from "./rows";

/** `temperature` of the scores that take one. */
export const temperatureOption = positiveOption({ default: 1, description: "Divides the logits." });

/** A score of logits that nothing is fitted for. */
export function ofLogits(temperature: number, formula: (logits: NumberMatrix) => Float64Array): Fitted<{ temperature: number }> {
  return {
    facts: { temperature },
    score: ({ logits }, signal) => scoreRows(logits, "logits", signal, formula),
    state: () => ({ description: { temperature }, tensors: [] }),
  };
}
