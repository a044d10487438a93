// The score `max-softmax`: the classifier's probability of its own answer, which is the baseline of the field.

import { defineScore } from "../define";
import { ofLogits, temperatureOption } from "../logits";
import { storedOption } from "../stored";

const made = (temperature: number) => ofLogits(temperature, "max-softmax");

/** max_c softmax(l / T)_c of the logits l at temperature T (Hendrycks and Gimpel 2017). */
export const maxSoftmax = defineScore({
  name: "max-softmax",
  formula: "max_c softmax(l / T)_c",
  source: "Hendrycks and Gimpel 2017",
  cost: "C per input",
  chooseWhere: "a baseline is wanted, which every other score should beat",
  options: { temperature: temperatureOption },
  facts: { temperature: "What divides the logits." },
  needs: { fit: [], score: ["logits"] },
  comparesClasses: true,
  fit: (_, { temperature }) => made(temperature),
  restore: ({ description }, _, where) => made(storedOption(description, "temperature", temperatureOption, where)),
});
