// The largest logit, which unlike the softmax keeps the logits' size.

import { defineScore } from "../define";
import { ofLogits, temperatureOption } from "../logits";
import { storedOption } from "../stored";

/** max_c l_c, Hendrycks et al. 2022. A temperature would order the same inputs alike: there is no such option, and a file holds 1. */
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
