// The score `entropy`: the negative entropy of the softmax, which is high where the probability lies on few classes.

import { defineScore } from "../define";
import { ofLogits, temperatureOption } from "../logits";
import { storedOption } from "../stored";

const made = (temperature: number) => ofLogits(temperature, "entropy");

/** Σ_c p_c ln p_c in nats, with p = softmax(l / T) of the logits l at temperature T. */
export const entropy = defineScore({
  name: "entropy",
  formula: "Σ_c p_c ln p_c with p = softmax(l / T)",
  source: "the baseline of Mukhoti et al. 2021",
  cost: "C per input",
  chooseWhere: "only logits are available",
  options: { temperature: temperatureOption },
  facts: { temperature: "What divides the logits." },
  needs: { fit: [], score: ["logits"] },
  comparesClasses: true,
  fit: (_, { temperature }) => made(temperature),
  restore: ({ description }, _, where) => made(storedOption(description, "temperature", temperatureOption, where)),
});
