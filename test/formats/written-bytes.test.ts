// Files of known content are the same to the last byte, whichever part of the library writes them. The hashes are what its writers made before they became one.

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { openExtraction } from "../../lib/cli/extraction-writer";
import { writeDecoded } from "../../lib/data/decoded-cache";
import { SeenInputs } from "../../lib/data/seen-inputs";
import { NpyWriter } from "../../lib/formats/npy";
import { serializeSafetensors, writeSafetensors, type SafetensorsInput } from "../../lib/formats/safetensors";
import { writeStateFile } from "../../lib/formats/state-file";
import { resolveArchitecture } from "../../lib/models/resnet/architecture";
import { usualGeometry } from "../../lib/models/resnet/input";
import { writeModelFile } from "../../lib/models/resnet/model-file";
import { Tensor } from "../../lib/native/tensor";
import { temporaryDirectory } from "../support/temporary-directory";

const directory = temporaryDirectory();
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const hashOf = (name: string): string => sha256(readFileSync(directory.path(name)));
/** Multiples of 1/8, which every dtype holds. */
const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => (((i * 7919) % 1021) - 510) / 8);
const float32 = (...shape: number[]) => Tensor.from(Float32Array.from(numbers(shape.reduce((a, b) => a * b, 1))), shape);

const tensors: SafetensorsInput[] = [
  { name: "double", dtype: "F64", shape: [2, 3], data: Float64Array.from(numbers(6)) },
  { name: "single", dtype: "F32", shape: [5], data: Float32Array.from(numbers(5)) },
  { name: "half", dtype: "F16", shape: [3], data: Uint16Array.of(0x3c00, 0xc000, 1) },
  { name: "brain", dtype: "BF16", shape: [1], data: Uint16Array.of(0x3f80) },
  { name: "counter", dtype: "I64", shape: [2], data: Int32Array.of(-1, 7) },
  { name: "wide", dtype: "I64", shape: [1], data: BigInt64Array.of(-(2n ** 40n)) },
  { name: "unsigned", dtype: "U64", shape: [1], data: BigUint64Array.of(2n ** 63n) },
  { name: "32", dtype: "I32", shape: [1, 1, 2], data: Int32Array.of(1, -2) },
  { name: "u32", dtype: "U32", shape: [1], data: Uint32Array.of(4_000_000_000) },
  { name: "16", dtype: "I16", shape: [2], data: Int16Array.of(1, -2) },
  { name: "8", dtype: "I8", shape: [2], data: Int8Array.of(1, -2) },
  { name: "u8", dtype: "U8", shape: [3], data: Uint8ClampedArray.of(1, 2, 255) },
  { name: "truth", dtype: "BOOL", shape: [2], data: Uint8Array.of(0, 1) },
  { name: "nothing", dtype: "F32", shape: [0, 4], data: new Float32Array(0) },
  { name: 'ü "quoted"', dtype: "F8_E4M3", shape: [], data: Uint8Array.of(9) },
];

test("a list of tensors, in a file and in memory", async () => {
  await writeSafetensors(directory.path("list.safetensors"), tensors, { metadata: { format: "test", note: 'a "b" ü' } });
  await writeSafetensors(directory.path("plain.safetensors"), tensors.slice(0, 1));
  expect([hashOf("list.safetensors"), hashOf("plain.safetensors")]).toEqual([
    "3509930ff929060e6cf30c1c1c9f606d54bcf4c537a0b0694d7807cb416d8696",
    "24f85c084d422e2f9fa81f722b6fcfa0ea58a834ece9f102e7fb45ef45c09e3d",
  ]);
  expect(sha256(serializeSafetensors(tensors, { metadata: { format: "test", note: 'a "b" ü' } }))).toBe(hashOf("list.safetensors"));
});

test("fitted numbers, in pieces where they are large", async () => {
  const state = [
    { name: "mean", tensor: Tensor.handle(Tensor.from(Float64Array.from(numbers(6)), [2, 3]), "") },
    { name: "counts", tensor: Tensor.handle(Tensor.from(BigInt64Array.of(3n, 4n)), "") },
    { name: "neighbours", tensor: Tensor.handle(float32(1_101, 1_013), "") },
    { name: "one", tensor: Tensor.handle(Tensor.from(Float64Array.of(2), []), "") },
  ];
  await writeStateFile(directory.path("state.safetensors"), "libtorch-ood/test", { score: "energy", temperature: 1 }, state);
  expect(hashOf("state.safetensors")).toBe("ff2761ae3a660ee4c0f78ca82f37a7f382c9bc672a1e42f40a0e24f1576c58bf");
});

test("a network and its checkpoint", async () => {
  const architecture = resolveArchitecture({ numClasses: 2, imageSize: 8, width: 1 / 16 });
  const description = {
    architecture,
    geometry: usualGeometry(architecture),
    normalization: { mean: [0.5, 0.25, 0.125], std: [0.5, 0.5, 0.5] },
    classNames: ["cat", "dog"],
    preset: undefined,
    trainedOn: SeenInputs.ofDigests([createHash("sha256").update("an image").digest("base64")]),
    training: undefined,
  };
  const state = [
    { name: "conv1.weight_orig", tensor: float32(4, 3, 3, 3) },
    { name: "bn1.num_batches_tracked", tensor: Tensor.from(BigInt64Array.of(12n), []) },
    { name: "fc.weight", tensor: float32(2, 32) },
  ];
  await writeModelFile(directory.path("model.safetensors"), description, state);
  await writeModelFile(directory.path("checkpoint.safetensors"), description, state, [{ name: "fc.weight", tensor: float32(2, 32) }]);
  expect([hashOf("model.safetensors"), hashOf("checkpoint.safetensors")]).toEqual([
    "aef9ff80750e3ef9bc1c5aca3249fbd4204e765eb5093c73cbdc718ddeb8c827",
    "d1b57aae5cc1e4e09662ceb0cb1127ac9a4c6efba1afe4b64199932ea0b63964",
  ]);
});

test("decoded images", async () => {
  const images = Uint8Array.from({ length: 2 * 3 * 4 * 4 }, (_, i) => (i * 37) % 256);
  await writeDecoded({ path: directory.path("decoded.safetensors"), key: "ab".repeat(32) }, images, [2, 3, 4, 4], undefined);
  expect(hashOf("decoded.safetensors")).toBe("8414717bd14a96d0e5698dc01e0a7882e88fffcc838a8516565a3cdbc3e7b44f");
});

test("rows as they are extracted: one file of tensors, or a folder of arrays", async () => {
  for (const out of ["extracted.safetensors", "folder"]) {
    const form = { featureName: "features", featureDim: 5, numClasses: 3, count: 9, labels: true, images: true, classNames: ["a", "b", "c"] } as const; // prettier-ignore
    const writer = await openExtraction(directory.path(out), form);
    await writer.write({ features: float32(3, 5), logits: float32(3, 3), labels: Int32Array.of(0, 2, 1), names: ["a.png", "b.png", "c.png"], skipped: [] }, "float32"); // prettier-ignore
    await writer.write({ features: float32(1, 5), logits: float32(1, 3), labels: Int32Array.of(-1), names: ["e.png"], skipped: [{ index: 3, path: "d.png", code: "ERR_IO", reason: "gone" }] }, "float32"); // prettier-ignore
    await writer.commit();
  }
  expect(hashOf("extracted.safetensors")).toBe("c7ccbe2f4180f55e50a061722d8faf3c30a154acb7ce6588d1f176ca7e8c7f63");
  expect(["features.npy", "logits.npy", "labels.npy", "extraction.json"].map((name) => hashOf(`folder/${name}`))).toEqual([
    "71efb3e6602dd43eda6b5df4be640e1b8ea12018209804738dc917b0aa72384d",
    "a44eb36c80878728b7a0f94cf0dfaacc48f2c6eb33d31e94a3ba431c458dd920",
    "02aaeba2db06bb5c09633572102cdc91e8137963257633c263a9d68fad559383",
    "16dc34953abf44dc23f7b109c19eab999116f33be8902cb5afe598ad065eaf28",
  ]);
});

test(".npy files", async () => {
  mkdirSync(directory.path("npy"));
  const written: string[] = [];
  for (const [dtype, values] of [
    ["float32", Float32Array.from(numbers(6))],
    ["float64", Float64Array.from(numbers(6))],
    ["int32", Int32Array.of(1, -2, 3, 4, 5, 6)],
    ["int64", BigInt64Array.of(1n, -2n, 3n, 4n, 5n, 6n)],
  ] as const) {
    const writer = await NpyWriter.open(directory.path(`npy/${dtype}.npy`), dtype, [3]);
    await writer.write(values);
    await writer.commit();
    written.push(hashOf(`npy/${dtype}.npy`));
  }
  expect(written).toEqual([
    "b38569e296c330638c2ea0c5f522845f13f04a717372f6490162531601b81ba6",
    "6b401c735219d57d864896984075ed7fb745d26c0e33e1dd528f717f04660d51",
    "0d3a01f8d52891de45bc4188c8b66f51fa2be761c233a0d575b059d5d4b409db",
    "18e07a781fe37ea6bc5c148ea17a361e0868fce6ea208ebb8ccd889f4abbf61c",
  ]);
});
