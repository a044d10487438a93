// The preset `seed-paper`: Haas, Yolland and Rabus, "Linking Neural Collapse and L2 Normalization with Improved Out-of-Distribution Detection
// in Deep Neural Networks" (TMLR 12/2022), which modifies the DDU benchmark.

import { ddu2021 } from "./ddu-2021";
import type { Preset, PresetTraining } from "./preset";

/** The paper's L2-normalised runs: batch 1024; everything else is DDU's. */
const training: PresetTraining = { ...ddu2021.training[18], batchSize: 1024 };

export const seedPaper: Preset = {
  name: "seed-paper",
  source: "Haas, Yolland and Rabus, TMLR 12/2022",
  architecture: { ...ddu2021.architecture, l2Normalize: true },
  training: {
    18: { ...training, epochs: 60, milestones: [40, 50] },
    50: { ...training, epochs: 100, milestones: [75, 90] },
  },
  normalizations: ddu2021.normalizations,
  features: "normalized",
  // The density as the paper writes it has the prior. DDU's jitter is rounding noise on collapsed features, so that of this library stands in.
  mixture: { covariance: "full", prior: "empirical", jitter: "relative" },
  evaluation: ddu2021.evaluation,
  groups: ddu2021.groups,
};
