// Makes and drops tensors or networks many times over and prints what memory the process held, in MiB: after a warm-up
// and at the end. Run with --expose-gc; without it, collection is left to V8, which must know what the handles hold.
const { ClassStatistics, Tensor } = require("../../../dist/index.js");
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
const labels = Int32Array.from({ length: 1024 }, (_, i) => i % 4);
let statistics; // of all cycles

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
    await statistics.update({ data: megabyte, shape: [1024, 256] }, labels);
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
  await repeat(Math.ceil(times / 4));
  const before = await repeat(1);
  const after = await repeat(times);
  console.log(JSON.stringify({ before, after }));
}

main(process.argv[2], Number(process.argv[3]));
