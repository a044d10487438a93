// The score `energy`: the negative free energy of the logits, a soft maximum that keeps their size, which the softmax does not.

import { defineScore } from "../define";
import { ofLogits, temperatureOption } from "../logits";
import { storedOption } from "../stored";

const made = (temperature: number) => ofLogits(temperature, "energy");

/** T·logsumexp(l / T) of the logits l at temperature T (Liu et al. 2020). */
export const energy = defineScore({
  name: "energy",
  formula: "T·logsumexp(l / T)",
  source: "Liu et al. 2020",
  cost: "C per input",
  chooseWhere: "only logits are available",
  options: { temperature: temperatureOption },
  facts: { temperature: "What divides the logits." },
  needs: { fit: [], score: ["logits"] },
  fit: (_, { temperature }) => made(temperature),
  restore: ({ description }, _, where) => made(storedOption(description, "temperature", temperatureOption, where)),
});
