// `inspect`: what a file or folder is, for every kind of file that the library writes or reads, and clear errors for others.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { ClassStatistics, Detector, files } from "../../lib";
import { temporaryDirectory } from "../support/temporary-directory";
import { tinyData, tinyNetwork, useOneThread } from "../models/resnet/tiny-network";
import { cli, good, json } from "./command";

useOneThread();
const directory = temporaryDirectory();

test("a network, a checkpoint and a detector", async () => {
  const model = await tinyNetwork();
  const [network, checkpoint, detector] = ["network", "checkpoint", "detector"].map((name) => directory.path(`${name}.safetensors`)) as [
    string,
    string,
    string,
  ];
  await model.fit(tinyData(60, "a"), { epochs: 1, checkpoint });
  await model.save(network);
  const weights = [...(await model.weights())].filter(([name]) => !/running|num_batches|weight_(u|v|sigma)/.test(name));
  const parameters = weights.reduce((sum, [, { size }]) => sum + size, 0);
  const said = { kind: "a network", network: "ResNet18", parameters, dtype: "float32", featureDim: 64, numClasses: 3, head: "[3, 64]" };
  expect(await json(["inspect", network])).toMatchObject({ file: network, ...said, classNames: ["0", "1", "2"] });
  expect(await json(["inspect", checkpoint])).toMatchObject({ ...said, kind: "a checkpoint", epochsDone: 1 });
  await (await Detector.fit(model, tinyData(60, "a"), { calibration: tinyData(30, "b"), falseAlarmRate: 0.1 })).save(detector);
  expect(await json(["inspect", detector])).toMatchObject({
    ...{ kind: "a detector", takes: "images", model: "a ResNet, in this file", score: "gaussian-mixture", calibrationInputs: 30 },
    ...{ falseAlarmRate: 0.1, precision: "float32", classNames: ["0", "1", "2"] },
  });
  const { stdout } = await good(["inspect", network]);
  expect(stdout).toMatch(/^kind +a network\nnetwork +ResNet18\n/);
  expect(stdout).toContain("grey 8×8");
  model.dispose();
});

test("features, statistics, tensors, images and folders of images", async () => {
  const folder = directory.path("features");
  mkdirSync(folder);
  const writer = await files.NpyWriter.open(join(folder, "features.npy"), "float32", [3]);
  await writer.write(new Float32Array(6));
  await writer.commit();
  expect(await json(["inspect", folder])).toMatchObject({
    kind: "features",
    writtenBy: "another program",
    "features.npy": "float32 [2, 3]",
  });
  expect(await json(["inspect", join(folder, "features.npy")])).toMatchObject({ kind: "an array", dtype: "float32", shape: [2, 3] });
  const tensors = directory.path("tensors.safetensors");
  await files.writeSafetensors(tensors, [{ name: "x", dtype: "F64", shape: [2], data: new Float64Array(2) }]);
  expect(await json(["inspect", tensors])).toMatchObject({ kind: "tensors of another program", x: "F64 [2]" });
  const statistics = new ClassStatistics({ numClasses: 2, featureDim: 3 });
  await statistics.update({ data: Float32Array.of(1, 2, 3, 4, 5, 6), shape: [2, 3] }, [0, 1]);
  await statistics.save(directory.path("statistics.safetensors"));
  expect(await json(["inspect", directory.path("statistics.safetensors")])).toMatchObject({
    kind: expect.stringMatching(/^class statistics/),
  });
  mkdirSync(directory.path("pets/cat"), { recursive: true });
  const image = directory.path("pets/cat/0.png");
  await sharp({ create: { width: 7, height: 5, channels: 3, background: "red" } }).toFile(image);
  expect(await json(["inspect", image])).toMatchObject({ kind: "an image", width: 7, height: 5 });
  expect(await json(["inspect", directory.path("pets")])).toMatchObject({ kind: "a folder of images", images: 1, classes: ["cat 1"] });
});

test("what it is not", async () => {
  const strange = directory.path("strange.bin");
  writeFileSync(strange, "<html>");
  const { code, stderr } = await cli(["inspect", strange]);
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(/^ERR_CORRUPT_FILE: .*strange\.bin: expected a ResNet .*found bytes that begin 3c68/),
  ]);
  expect((await cli(["inspect", directory.path("none")])).stderr).toMatch(/^ERR_IO: /);
  const script = directory.path("script.pt");
  writeFileSync(script, "PK\x03\x04");
  expect(await json(["inspect", script])).toMatchObject({ kind: "a TorchScript model", more: expect.stringContaining("--preprocessing") });
});
