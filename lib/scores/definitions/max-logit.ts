// The score `max-logit`: the largest logit, which keeps the logits' size; the softmax does not.

import { defineScore } from "../define";
import { ofLogits, temperatureOption } from "../logits";
import { storedOption } from "../stored";

/** max_c l_c of the logits l (Hendrycks et al. 2022). A temperature would not change the order of inputs: there is no such option, and a file holds 1. */
export const maxLogit = defineScore({
  name: "max-logit",
  formula: "max_c l_c",
  source: "Hendrycks et al. 2022",
  cost: "C per input",
  chooseWhere: "only logits are available",
  options: {},
  facts: { temperature: "1: a temperature would order the same inputs alike." },
  needs: { fit: [], score: ["logits"] },
  fit: () => ofLogits(1, "max-logit"),
  restore: ({ description }, _, where) => ofLogits(storedOption(description, "temperature", temperatureOption, where), "max-logit"),
});
