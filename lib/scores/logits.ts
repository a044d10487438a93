// The common part of the scores of logits alone: the temperature, and a score that nothing is fitted for.

import type { Fitted } from "./define";
import { positiveOption } from "./option";
import { scoreRows } from "./rows";

/** The option `temperature` of the scores that take it. */
export const temperatureOption = positiveOption({ default: 1, description: "Divides the logits." });

/** A score of logits that nothing is fitted for. */
export function ofLogits(temperature: number, name: "max-softmax" | "max-logit" | "entropy" | "energy"): Fitted<{ temperature: number }> {
  return {
    facts: { temperature },
    score: ({ logits }, signal) => scoreRows(logits, "logits", name, { temperature, signal }),
    state: () => ({ description: { temperature }, tensors: [] }),
  };
}
