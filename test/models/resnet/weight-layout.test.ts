// An extractor's weights are laid out once, as oneDNN's convolutions want them: a layout for images of another size would be
// changed in each call, which takes as long as the convolutions. oneDNN's own log tells; on AVX2, where that was so.

import { spawnSync } from "node:child_process";
import { packageRoot } from "../../../lib/core/package-root";

const program = `
  const { ResNet, Tensor } = require(${JSON.stringify(packageRoot)});
  (async () => {
    const [depth, imageSize] = process.argv.slice(1).map(Number);
    const model = await ResNet.create({ depth, imageSize, numClasses: 10, avgPoolShortcut: false, seed: 1 });
    model.normalization = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
    const images = Tensor.from(new Uint8Array(16 * 3 * imageSize ** 2).fill(9), [16, 3, imageSize, imageSize]);
    await model.extract(images);
    console.log("again");
    await model.extract(images);
  })();`;

const onX64 = process.arch === "x64" ? test : test.skip;

onX64.each([
  [18, 28, 20],
  [18, 32, 20],
  [50, 32, 53],
])("ResNet%i, images of %i pixels: a second call lays no weight out again", (depth, imageSize, convolutions) => {
  // Without the instructions that winograd.h needs, all convolutions are oneDNN's, which takes its own whatever libtorch does.
  const env = { ...process.env, ONEDNN_VERBOSE: "1", ONEDNN_MAX_CPU_ISA: "AVX2", ATEN_CPU_CAPABILITY: "default" };
  const { stdout, stderr, status } = spawnSync(process.execPath, ["-e", program, `${depth}`, `${imageSize}`], { env, encoding: "utf8" });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  const lines = stdout.split("\n");
  const executed = lines.slice(lines.indexOf("again")).filter((line) => line.includes(",exec,cpu,"));
  expect(executed.filter((line) => line.includes(",convolution,"))).toHaveLength(convolutions);
  // A weight's blocks are named "A…"; images are "acdb" throughout.
  expect(executed.filter((line) => line.includes(",reorder,") && /:A/.test(line))).toEqual([]);
});
