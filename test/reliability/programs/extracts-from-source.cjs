// extracts-from-source.cjs KIND PATH SIZE: one epoch of training and an extraction over a folder or tar shards of pictures; says how many rows there
// were, and how much memory was resident at most.
const { ResNet, device, sources } = require("../../../dist");

const [kind, path, size] = process.argv.slice(2);

async function main() {
  await device.setThreads(1);
  const imageSize = Number(size);
  const normalization = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
  const model = await ResNet.create({ stem: "imagenet", numClasses: 2, imageSize, width: 1 / 32, seed: 3, normalization });
  const source = kind === "tar" ? sources.tar(path, { shuffleBuffer: 64 }) : await sources.folder(path);
  const tenths = [];
  await model.fit(source, { epochs: 1, batchSize: 64, seed: 5 });
  let rows = 0;
  const { count } = await model.extractStream(source, ({ features }) => {
    rows += features.shape[0];
    tenths.push(process.memoryUsage.rss());
  });
  console.log(JSON.stringify({ count, rows, resident: tenths, most: 1024 * process.resourceUsage().maxRSS }));
}

void main();
