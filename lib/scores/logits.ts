// What the scores of logits alone share: the temperature, and that a row's own logits give them.

import type { Fitted } from "./define";
import { positiveOption } from "./option";
import { scoreRows } from "./rows";

/** `temperature` of the scores that take one. */
export const temperatureOption = positiveOption({ default: 1, description: "Divides the logits." });

/** A score of logits that nothing is fitted for. */
export function ofLogits(temperature: number, name: "max-softmax" | "max-logit" | "entropy" | "energy"): Fitted<{ temperature: number }> {
  return {
    facts: { temperature },
    score: ({ logits }, signal) => scoreRows(logits, "logits", name, { temperature, signal }),
    state: () => ({ description: { temperature }, tensors: [] }),
  };
}
