// Makes and drops objects of a native class many times over and prints what memory the process held, in MiB: after a warm-up
// and at the end. Run with --expose-gc; without it, collection is left to V8, which must know what the handles hold.
const { ClassStatistics, GaussianMixture, scores, Tensor } = require("../../../dist/index.js");
const { network, data, useOneThread } = require("./tiny-network.cjs");

const mebibyte = 1 << 20;

function memory() {
  const { rss, external } = process.memoryUsage();
  return { rss: rss / mebibyte, external: external / mebibyte };
}

// Collection runs finalisers in later turns of the event loop.
async function collect() {
  if (globalThis.gc === undefined) return;
  for (let i = 0; i < 4; i++) {
    globalThis.gc();
    await new Promise(setImmediate);
  }
}

const megabyte = new Float32Array(mebibyte / 4).fill(1);
const images = data(32);
const labelsOfMegabyte = Int32Array.from({ length: 1024 }, (_, i) => i % 4);
let statistics; // of all cycles

// 288 features of three classes, of 64 numbers each.
const [rows, size] = [288, 64];
const features = { data: Float64Array.from({ length: rows * size }, (_, i) => Math.sin(i * i)), shape: [rows, size] };
const labels = Int32Array.from({ length: rows }, (_, i) => i % 3);
const few = (array, count) => ({ data: array.data.subarray(0, count * array.shape[1]), shape: [count, array.shape[1]] });
const weight = few(features, 3);
const logits = { data: features.data.subarray(0, rows * 3), shape: [rows, 3] };
let kept;

const cycles = {
  async "tensor, disposed"() {
    const tensor = Tensor.from(megabyte);
    tensor.slice(0, 10).dispose();
    tensor.dispose();
  },
  async "tensor, dropped"() {
    Tensor.from(megabyte).slice(0, 10);
  },
  async "network, disposed"() {
    const model = await network();
    model.dispose();
  },
  async "network, dropped"() {
    await network();
  },
  async "extraction, disposed"() {
    kept ??= await network();
    const { features, logits } = await kept.extract(images); // each makes a native extractor
    features.dispose();
    logits.dispose();
  },
  async "class statistics, disposed"() {
    const statistics = new ClassStatistics({ numClasses: 3, featureDim: size });
    await statistics.update(features, labels);
    (await statistics.means()).dispose();
    statistics.dispose();
  },
  async "mixture, disposed"() {
    const mixture = await GaussianMixture.fit(features, labels);
    await mixture.logDensity(features);
    mixture.dispose();
  },
  async "mixture, dropped"() {
    await GaussianMixture.fit(features, labels);
  },
  async "nearest neighbours, disposed"() {
    const score = await scores.fit("nearest-neighbours", { features }, { k: 5 });
    await score.score({ features });
    score.dispose();
  },
  async "virtual logit, disposed"() {
    const score = await scores.fit("vim", { features, logits, weight }, { dimension: 8 });
    await score.score({ features, logits });
    score.dispose();
  },
  async "aborted calls"() {
    kept ??= await network();
    const controller = new AbortController();
    const aborted = kept.extract(images, { signal: controller.signal });
    controller.abort();
    await aborted.catch(() => undefined);
  },
  async "training, disposed"() {
    const model = await network();
    await model.fit(images, { epochs: 1, batchSize: 16 });
    const { features, logits } = await model.extract(images);
    features.dispose();
    logits.dispose();
    model.dispose();
  },
  async "statistics, streamed"() {
    statistics ??= new ClassStatistics({ numClasses: 4, featureDim: 256 });
    await statistics.update({ data: megabyte, shape: [1024, 256] }, labelsOfMegabyte);
  },
  async "failing calls"() {
    const model = await network();
    const cancelled = AbortSignal.abort();
    await model.fit(images, { epochs: 1, signal: cancelled }).catch(() => undefined);
    await model.extract({ data: megabyte, shape: [1, 1, 512, 512] }).catch(() => undefined);
    model.dispose();
  },
};

async function main(name, times) {
  await useOneThread();
  const cycle = cycles[name];
  const repeat = async (count) => {
    for (let i = 0; i < count; i++) {
      await cycle();
      if (globalThis.gc === undefined) await new Promise(setImmediate);
      if (name.endsWith("dropped") && i % 16 === 15) await collect();
    }
    await collect();
    return memory();
  };
  await repeat(Math.max(Math.ceil(times / 4), Math.min(times, 300))); // until the allocator's arenas have grown to what they keep
  const before = await repeat(1);
  const middle = await repeat(Math.ceil(times / 2));
  const after = await repeat(Math.floor(times / 2));
  console.log(JSON.stringify({ before, middle, after }));
}

main(process.argv[2], Number(process.argv[3]));
