// Data of an experiment so small that a network trains in a moment: images whose upper, middle or lower part is bright, by class, under noise;
// sets to be told apart have their bright part in columns. Plain arrays, for whichever copy of the library makes a Dataset of them.

function noise(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 25;
  };
}

/** @param seed another for each set */
function arrays(name, seed, count, columns = false) {
  const random = noise(seed);
  const labels = Int32Array.from({ length: count }, (_, i) => i % 3);
  const images = new Uint8Array(count * 64);
  for (let i = 0; i < count; i++) {
    for (let pixel = 0; pixel < 64; pixel++) {
      const part = Math.floor((columns ? pixel % 8 : Math.floor(pixel / 8)) / 3);
      images[i * 64 + pixel] = random() + (part === labels[i] ? 110 : 0);
    }
  }
  return { images, labels, shape: [1, 8, 8], classNames: ["upper", "middle", "lower"], name, normalization: { mean: [0.4], std: [0.3] } };
}

/** Readers under the paper's names. @param Dataset the library's class */
function readers(Dataset) {
  const set = (name, seed, count, columns) => async () => Dataset.fromArrays(arrays(name, seed, count, columns));
  return {
    cifar10: { train: set("cifar10 train", 1, 180, false), test: set("cifar10 test", 2, 60, false) },
    svhn: { test: set("svhn test", 3, 50, true) },
    cifar100: { test: set("cifar100 test", 4, 40, true) },
    "tiny-imagenet": { test: set("tiny-imagenet validation", 5, 30, true) },
  };
}

/** What makes any configuration as small as the data. */
const tiny = { width: 0.0625, batchSize: 64 };

/** Two cells and two seeds, three epochs each of which is measured. */
const smallExperiment = {
  inDistribution: "cifar10",
  outOfDistribution: ["svhn", "cifar100"],
  seeds: 2,
  measurements: { every: 1, samples: 10 },
  scale: tiny,
  cells: [{ depth: 18, l2Normalize: [true, false], epochs: 3, milestones: [2] }],
};

module.exports = { readers, tiny, smallExperiment };
