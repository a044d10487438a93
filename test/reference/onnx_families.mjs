// Runs an ONNX file through the library for onnx_models.py: reads FOLDER/pixels.npy, writes FOLDER/features.npy and FOLDER/logits.npy.

import { join } from "node:path";
import { files, OnnxModel } from "libtorch-ood";

const [path, folder, size] = process.argv.slice(2);
const model = await OnnxModel.load(path, { input: { size: Number(size), mean: [0, 0, 0], std: [1, 1, 1] } });
const { features, logits } = await model.extract(await files.readNpy(join(folder, "pixels.npy")), { batchSize: 2 });
const head = await model.head();
if (head?.weight.shape[1] !== features.shape[1]) throw new Error(`${path}: the head was not found`);
for (const [name, rows] of Object.entries({ features, logits })) {
  const writer = await files.NpyWriter.open(join(folder, `${name}.npy`), "float32", rows.shape.slice(1));
  await writer.write(rows.toArray());
  await writer.commit();
}
model.dispose();
