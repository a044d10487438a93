// Every score there is. Written by scripts/score-index.mjs from the files in definitions/ whenever lib/ is compiled or tested.

export { energy } from "./definitions/energy";
export { entropy } from "./definitions/entropy";
export { featureNorm } from "./definitions/feature-norm";
export { gaussianMixture } from "./definitions/gaussian-mixture";
export { mahalanobis } from "./definitions/mahalanobis";
export { maxLogit } from "./definitions/max-logit";
export { maxSoftmax } from "./definitions/max-softmax";
export { nearestNeighbours } from "./definitions/nearest-neighbours";
export { relativeMahalanobis } from "./definitions/relative-mahalanobis";
export { vim } from "./definitions/vim";
