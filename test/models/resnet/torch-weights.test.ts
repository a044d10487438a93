// Weights in files of other programs: names and shapes tell the network; what is no ResNet of ours is refused by name. And files for other programs.

import { Buffer } from "node:buffer";
import { ResNet, Tensor, type ResNetOptions } from "../../../lib";
import { openSafetensors, writeSafetensors, type SafetensorsDtype } from "../../../lib/formats/safetensors";
import { temporaryDirectory } from "../../support/temporary-directory";
import { entry, fill, images, numbers } from "./closed-formula";
import { libraryFailureOf, useOneThread } from "./tiny-network";

useOneThread();
const directory = temporaryDirectory();
const plain = { leakyRelu: false, avgPoolShortcut: false, spectralNorm: false, l2Normalize: false } as const;

const network = async (options: Partial<ResNetOptions> = {}): Promise<ResNet> => {
  const model = await ResNet.create({ numClasses: 5, width: 0.125, ...plain, ...options });
  await fill(model);
  return model;
};

type Stored = Map<string, { shape: readonly number[]; values: Float64Array; dtype?: SafetensorsDtype }>;

/** The tensors of a network under torchvision's names; `change` alters them. */
async function tensorsOf(model: ResNet, rename = (name: string) => name.replace(".shortcut.", ".downsample.")): Promise<Stored> {
  const stored: Stored = new Map();
  for (const [name, tensor] of await model.weights()) stored.set(rename(name), { shape: tensor.shape, values: entry(name, tensor.shape) });
  return stored;
}

async function put(name: string, tensors: Stored, metadata?: Record<string, string>): Promise<string> {
  const path = directory.path(name);
  const list = [...tensors].map(([tensor, { shape, values, dtype }]) =>
    tensor.endsWith("num_batches_tracked")
      ? { name: tensor, dtype: "I64" as const, shape, data: Int32Array.from(values) }
      : { name: tensor, dtype: dtype ?? ("F32" as const), shape, data: dtype ? Uint16Array.from(values) : Float32Array.from(values) },
  );
  await writeSafetensors(path, list, metadata && { metadata });
  return path;
}

const zeros = (...shape: number[]) => ({ shape, values: new Float64Array(shape.reduce((a, b) => a * b, 1)) });
const x = images([2, 3, 32, 32]);
const logitsOf = async (model: ResNet, size = 32) => numbers((await model.forward(size === 32 ? x : images([2, 3, size, size]))).logits);

test.each([
  ["stem of ImageNet, under both wrappers' prefixes", { stem: "imagenet", depth: 50 }, "_orig_mod.module."],
  ["stem of CIFAR, one channel", { depth: 34, inChannels: 1 }, ""],
  ["a feature length of its own", { stem: "imagenet", featureDim: 40 }, "module."],
] as const)("torchvision's names: %s", async (_, options, prefix) => {
  const model = await network(options);
  const tensors = await tensorsOf(model);
  const wrapped: Stored = new Map([...tensors].map(([tensor, value]) => [prefix + tensor, value]));
  for (const tensor of wrapped.keys()) if (tensor.endsWith("num_batches_tracked")) wrapped.delete(tensor);
  const path = await put("torchvision.safetensors", wrapped, { format: "pt" });
  const loaded = await ResNet.load(path);
  const imageSize = loaded.architecture.stem === "imagenet" ? 224 : 32;
  expect(loaded.architecture).toEqual({ ...model.architecture, imageSize });
  expect(await ResNet.describe(path)).toMatchObject({ architecture: loaded.architecture, dtype: "float32", input: loaded.input });
  const input = images([2, loaded.architecture.inChannels, 32, 32]);
  const [ours, theirs] = [(await model.forward(input)).logits, (await loaded.forward(input)).logits];
  expect(numbers(theirs)).toEqual(numbers(ours));
});

test("a network of ImageNet gets the preprocessing of ImageNet, unless another is given; one of CIFAR gets none", async () => {
  const large = await put("large.safetensors", await tensorsOf(await network({ stem: "imagenet" })));
  const small = await put("small.safetensors", await tensorsOf(await network()));
  const usual = await ResNet.load(large);
  expect(usual.input).toMatchObject({ size: 224, resizeTo: 256, kernel: "bilinear", mean: [0.485, 0.456, 0.406] });
  const other = await ResNet.load(large, {
    input: "clip",
    classNames: ["a", "b", "c", "d", "e"],
    l2Normalize: true,
    temperature: 0.5,
    leakyRelu: true,
  });
  expect(other.input).toMatchObject({ size: 224, resizeTo: 224, kernel: "bicubic" });
  expect(other.architecture).toMatchObject({ l2Normalize: true, temperature: 0.5, leakyRelu: true });
  expect(other.classNames).toEqual(["a", "b", "c", "d", "e"]);
  const sized = await ResNet.load(large, { input: { size: 96, mean: [0, 0, 0], std: [1, 1, 1] } });
  expect([sized.architecture.imageSize, sized.input?.size]).toEqual([96, 96]);
  expect((await ResNet.load(small)).input).toBeUndefined();
  expect((await ResNet.load(small, { input: "cifar10" })).input?.size).toBe(32);
});

test.each([
  ["leaky ReLU, average-pool shortcuts and spectral norm", { leakyRelu: true, avgPoolShortcut: true, spectralNorm: {}, imageSize: 28 }],
  ["spectral norm", { spectralNorm: {} }],
  ["neither", {}],
] as const)("DDU's names: %s", async (_, options) => {
  const model = await network(options);
  const path = await put("ddu.safetensors", await tensorsOf(model, (name) => name));
  const loaded = await ResNet.load(path);
  expect(loaded.architecture).toEqual(model.architecture);
  const size = model.architecture.imageSize;
  expect(await logitsOf(loaded, size)).toEqual(await logitsOf(model, size));
});

describe("refused by name", () => {
  const cases: [string, Partial<ResNetOptions>, (tensors: Stored) => void, RegExp][] = [
    ["a missing tensor", {}, (t) => t.delete("layer3.1.bn2.running_mean"), /1 missing: layer3\.1\.bn2\.running_mean$/],
    ["a surplus tensor", {}, (t) => t.set("layer1.0.conv1.bias", zeros(8)), /1 not of this network: layer1\.0\.conv1\.bias$/],
    [
      "misshapen tensors",
      { stem: "imagenet" },
      (t) => t.set("layer2.0.downsample.0.weight", zeros(16, 8, 3, 3)).set("fc.bias", zeros(4)),
      /2 of another shape: layer2\.0\.downsample\.0\.weight \(expected \[16, 8, 1, 1\], found \[16, 8, 3, 3\]\), fc\.bias/,
    ],
    ["no last layer", {}, (t) => t.delete("fc.weight"), /expected a tensor fc\.weight of 2 dimensions.*found conv1\.weight, bn1\.weight/],
    ["another network", {}, (t) => t.clear(), /expected a tensor conv1\.weight of 4 dimensions, .* found stages\.0\.weight/],
    [
      "another depth",
      {},
      (t) => t.set("layer1.2.conv1.weight", zeros(8, 8, 3, 3)),
      /expected layers of 2,2,2,2 \(ResNet18\) or .* found 3,2,2,2$/,
    ],
    ["another kernel", {}, (t) => t.set("conv1.weight", zeros(8, 3, 5, 5)), /expected a first convolution of 3×3 or 7×7, found 5×5$/],
    ["a class alone", {}, (t) => t.set("fc.weight", zeros(1, 64)), /numClasses: expected 2 to/],
    ["a ResNet-D", {}, (t) => t.set("conv1.0.weight", zeros(4, 3, 3, 3)), /conv1\.0\.weight: a stem of three convolutions, as a ResNet-D/],
    ["average pooling", {}, (t) => t.set("layer2.0.downsample.2.weight", zeros(16)), /downsample\.2\.weight: average pooling before/],
    ["an SE-ResNet", {}, (t) => t.set("layer1.0.se.fc1.weight", zeros(1, 8, 1, 1)), /se\.fc1\.weight: attention to channels/],
    [
      "a ResNeXt",
      { depth: 50 },
      (t) => t.set("layer1.0.conv1.weight", zeros(16, 8, 1, 1)).set("layer1.0.conv2.weight", zeros(16, 4, 3, 3)),
      /expected convolutions of one group, found 4 groups in layer1\.0\.conv2, as a ResNeXt/,
    ],
    [
      "a wide ResNet",
      { depth: 50 },
      (t) => t.set("layer1.0.conv1.weight", zeros(16, 8, 1, 1)).set("layer1.0.conv2.weight", zeros(16, 16, 3, 3)),
      /found 16 of 32 in layer1\.0, as a wide ResNet/,
    ],
  ];
  test.each(cases)("%s", async (_, options, change, message) => {
    const tensors = await tensorsOf(await network(options));
    change(tensors);
    if (tensors.size === 0) tensors.set("stages.0.weight", zeros(3));
    const path = await put("wrong.safetensors", tensors);
    const error = await libraryFailureOf(() => ResNet.load(path));
    expect(error.code).toBe("ERR_CORRUPT_FILE");
    expect(error.message).toMatch(message);
    expect(error.message.startsWith(`${path}: expected `)).toBe(true);
  });

  test("a pickle, with the lines that convert it", async () => {
    const zip = Buffer.concat([Buffer.from("PK\x03\x04", "latin1"), Buffer.alloc(22), Buffer.from([16, 0, 0, 0]), Buffer.from("archive/data.pkl"), Buffer.alloc(600)]); // prettier-ignore
    for (const [name, content] of [
      ["new.pth", zip],
      ["old.pth", Buffer.concat([Buffer.from([0x80, 2]), Buffer.alloc(600)])],
    ] as const) {
      const path = directory.put(name, content);
      const error = await libraryFailureOf(() => ResNet.load(path));
      expect(error.code).toBe("ERR_CORRUPT_FILE");
      expect(error.message).toMatch(
        /expected a \.safetensors file, found a (PyTorch file \(\.pt\)|Python pickle of protocol 2)\. Convert it in Python:\n/,
      );
      expect(error.message.split("\n").slice(1)).toEqual([
        "  import torch; from safetensors.torch import save_file",
        '  weights = torch.load("weights.pth", map_location="cpu", weights_only=True)',
        '  save_file({name: tensor.contiguous() for name, tensor in weights.items()}, "weights.safetensors")',
      ]);
    }
  });

  test("switches of which torchvision's code knows nothing, for files under its names", async () => {
    const model = await ResNet.create({ numClasses: 3, width: 0.0625 });
    expect(await libraryFailureOf(() => model.save(directory.path("no.safetensors"), { names: "torchvision" }))).toMatchObject({
      code: "ERR_OPTION",
      message:
        'names: expected "ours" for a network with switches that torchvision does not have, found "leakyRelu, avgPoolShortcut, spectralNorm"',
    });
  });
});

test.each(["ours", "torchvision"] as const)(
  "a saved network under the names %j comes back as it was, with all that it is",
  async (names) => {
    const model = await network({ stem: "imagenet", l2Normalize: true, temperature: 0.5, imageSize: 64 });
    model.input = { size: 80, resizeTo: 90, kernel: "bicubic", mean: [0.1, 0.2, 0.3], std: [1, 2, 3] };
    model.classNames = ["a", "b", "c", "d", "e"];
    const path = directory.path("ours.safetensors");
    await model.save(path, { names });
    const file = await openSafetensors(path);
    expect([...file.tensors.keys()].filter((name) => name.startsWith("layer2.0.")).some((name) => name.includes("downsample"))).toBe(
      names === "torchvision",
    );
    expect(file.metadata.get("format")).toBe(names === "torchvision" ? "pt" : "libtorch-ood/resnet");
    await file.close();
    const loaded = await ResNet.load(path);
    expect(loaded.architecture).toEqual(model.architecture);
    expect([loaded.input, loaded.classNames]).toEqual([model.input, model.classNames]);
    expect(await logitsOf(loaded)).toEqual(await logitsOf(model));
  },
);

test.each([
  ["float16", "F16", 2 ** -11],
  ["bfloat16", "BF16", 2 ** -8],
] as const)("weights in %s: written rounded to nearest, read exactly", async (dtype, stored, rounding) => {
  const model = await network({ stem: "imagenet" });
  const [first, second] = [directory.path("first.safetensors"), directory.path("second.safetensors")];
  await model.save(first, { dtype });
  const file = await openSafetensors(first);
  const dtypes = new Set([...file.tensors].map(([name, tensor]) => `${name.endsWith("tracked")} ${tensor.dtype}`));
  expect(dtypes).toEqual(new Set([`false ${stored}`, "true I64"]));
  await file.close();
  const loaded = await ResNet.load(first);
  expect(loaded.dtype).toBe("float32");
  const own = await model.weights();
  for (const [name, tensor] of await loaded.weights()) {
    const exact = numbers(own.get(name) as Tensor);
    const apart = numbers(tensor).map(
      (value, i) => Math.abs(value - (exact[i] as number)) / Math.max(Math.abs(exact[i] as number), 2 ** -14),
    );
    expect([name, Math.max(...apart) <= rounding]).toEqual([name, true]);
  }
  await loaded.save(second, { dtype });
  const again = await (await ResNet.load(second)).weights();
  for (const [name, tensor] of await loaded.weights()) expect(numbers(again.get(name) as Tensor)).toEqual(numbers(tensor));
});

test("bits of float16 and bfloat16 are those of IEEE 754, ties to even", async () => {
  const model = await network();
  const values = [1 + 2 ** -11, 1 + 3 * 2 ** -11, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -0.1];
  const weights = await model.weights();
  weights.set("fc.bias", Tensor.from(Float32Array.from(values)));
  await model.setWeights(weights);
  for (const [dtype, bits] of [
    ["float16", [0x3c00, 0x3c02, 0x3c04, 0x3c0c, 0xae66]],
    ["bfloat16", [0x3f80, 0x3f80, 0x3f80, 0x3f82, 0xbdcd]],
  ] as const) {
    await model.save(directory.path("bits.safetensors"), { dtype });
    const file = await openSafetensors(directory.path("bits.safetensors"));
    expect([...new Uint16Array((await file.read("fc.bias")).buffer)]).toEqual(bits);
    await file.close();
  }
  weights.set("bn1.running_var", Tensor.from(new Float32Array(8).fill(70_000)));
  await model.setWeights(weights);
  const error = await libraryFailureOf(() => model.save(directory.path("large.safetensors"), { dtype: "float16" }));
  expect(error).toMatchObject({ code: "ERR_RANGE", message: expect.stringMatching(/^bn1\.running_var: .*range of float16/) as string });
  await model.save(directory.path("large.safetensors"), { dtype: "bfloat16" });
});
