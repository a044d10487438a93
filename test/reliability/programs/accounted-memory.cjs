// Makes one object of each native class and prints, in bytes, by how much what V8 is told of it grew, what its arrays come to, and what is left of
// that after dispose(). Run with --expose-gc.
const { ClassStatistics, Detector, GaussianMixture, linalg, ResNet, scores, Tensor } = require("../../../dist/index.js");
const { native } = require("../../../dist/native/surface.js");
const { network, data, useOneThread } = require("./tiny-network.cjs");

const bytesOf = { float32: 4, float64: 8, int32: 4, int64: 8, uint8: 1, int8: 1 };
const sizeOf = ({ shape, dtype }) => shape.reduce((product, size) => product * size, bytesOf[dtype]);
const double = 8;

/** What V8 is told beyond the ArrayBuffers that it knows itself. */
async function told() {
  for (let i = 0; i < 4; i++) {
    globalThis.gc();
    await new Promise(setImmediate);
  }
  return native().externalMemory() - process.memoryUsage().external;
}

const [classes, rows, d] = [4, 1200, 256];
const random = (count, seed) => {
  let state = seed;
  return Float32Array.from({ length: count }, () => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0), state / 2 ** 32));
};
const features = { data: random(rows * d, 1), shape: [rows, d] };
const labels = Int32Array.from({ length: rows }, (_, i) => i % classes);
const held = { data: random(40 * d, 2), shape: [40, d] };
// Four means of d, and a matrix of d × d each, in two parts where a mean is.
const means = 2 * classes * d * double;
const matrices = classes * d * d * double;
// With the factors a mixture keeps what its first evaluation inverts: diagonal blocks of 128, and the first 64 dimensions.
const inverses = (factors) => factors * (2 * 128 ** 2 + 64 ** 2) * double;

async function weightsOf(model) {
  let sum = 0;
  for (const tensor of (await model.weights()).values()) {
    sum += sizeOf(tensor);
    tensor.dispose();
  }
  return sum;
}

async function statistics(scatter) {
  const made = new ClassStatistics({ numClasses: classes, featureDim: d, scatter });
  await made.update(features, labels);
  return made;
}

const traces = classes * double;
/** Each makes an object and says what its arrays come to. */
const makers = {
  tensor: async () => [Tensor.from(features.data, features.shape), rows * d * 4],
  "tensor of a result": async () => {
    const made = await linalg.covariance(features);
    return [made, d * d * double];
  },
  network: async () => {
    const made = await network({ width: 0.5 });
    return [made, await weightsOf(made)];
  },
  "network, trained": async () => {
    const made = await network({ width: 0.5 });
    await made.fit(data(64), { epochs: 1, batchSize: 32 });
    return [made, await weightsOf(made)];
  },
  "network, loaded": async (path) => {
    const first = await network({ width: 0.5 });
    await first.save(path);
    first.dispose();
    const made = await ResNet.load(path);
    return [made, await weightsOf(made)];
  },
  "statistics, new": async () => [
    new ClassStatistics({ numClasses: classes, featureDim: d, scatter: "pooled" }),
    means + d * d * double + traces,
  ],
  "statistics, full": async () => [await statistics("full"), means + matrices + classes * d * double + 2 * traces],
  "statistics, pooled": async () => [await statistics("pooled"), means + d * d * double + traces],
  "statistics, diagonal": async () => [await statistics("diagonal"), means + classes * d * double + traces],
  "statistics, rows that wait": async () => {
    const made = new ClassStatistics({ numClasses: classes, featureDim: d, scatter: "pooled" });
    await made.update({ data: features.data.subarray(0, 10 * d), shape: [10, d] }, labels.subarray(0, 10));
    return [made, means + d * d * double + traces + 10 * d * 4 + 10 * 8];
  },
  "statistics, merged and loaded": async (path) => {
    const [first, second] = [await statistics("full"), await statistics("full")];
    await first.merge(second);
    await first.save(path);
    first.dispose();
    second.dispose();
    return [await ClassStatistics.load(path), means + matrices + classes * d * double + 2 * traces];
  },
  mixture: async () => [await GaussianMixture.fit(features, labels), means + matrices],
  "mixture, evaluated": async () => {
    const made = await GaussianMixture.fit(features, labels);
    await made.classLogDensities(held);
    return [made, means + matrices + inverses(classes)];
  },
  "mixture, tied, evaluated": async () => {
    const made = await GaussianMixture.fit(features, labels, { covariance: "tied" });
    await made.classLogDensities(held);
    return [made, means + d * d * double + inverses(1) + d * double + classes * d * double];
  },
  "mixture, diagonal": async () => [await GaussianMixture.fit(features, labels, { covariance: "diagonal" }), means + classes * d * double],
  "mixture, loaded": async (path) => {
    const first = await GaussianMixture.fit(features, labels);
    await first.save(path);
    first.dispose();
    return [await GaussianMixture.load(path), means + matrices];
  },
  "nearest neighbours": async () => [
    await scores.fit("nearest-neighbours", { features }, { k: 5 }),
    rows * d * 4 + rows * double, // and the inverse of each length
  ],
  detector: async () => {
    const model = await network({ width: 0.5 });
    const made = await Detector.fit(model, data(256), {
      calibration: data(20, 8),
      scoreOptions: { covariance: "diagonal" },
      allowOverlap: true,
    });
    const expected = await weightsOf(model);
    const { featureDim, numClasses } = model.architecture;
    model.dispose();
    return [made, expected + 3 * numClasses * featureDim * double];
  },
  "detector over features": async () => [
    await Detector.fromFeatures({ features, labels, calibration: { features: held }, scoreOptions: { covariance: "diagonal" } }),
    means + classes * d * double,
  ],
};

async function main(path) {
  await useOneThread();
  const answers = {};
  for (const [name, make] of Object.entries(makers)) {
    (await make(path))[0].dispose(); // what a first time makes, and keeps, is not the object's
    const before = await told();
    const [object, expected] = await make(path);
    const grown = (await told()) - before;
    object.dispose();
    object.dispose();
    answers[name] = { grown, expected, left: (await told()) - before };
  }
  console.log(JSON.stringify(answers));
}

main(process.argv[2]);
