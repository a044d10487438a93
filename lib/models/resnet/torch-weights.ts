// Weights under the parameter names of torchvision and timm, or of DDU's code: names and shapes tell which network they are of.

import { fail } from "../../core/checks";
import { corruptFile } from "../../core/file-errors";
import type { SafetensorsFile } from "../../formats/safetensors";
import { resNetDepths, resolveArchitecture, type Architecture, type ArchitectureOptions, type ResNetDepth } from "./architecture";
import { tensorsOf } from "./tensor-shapes";
import { differences } from "./weights";

/** How the tensors of a network are called. */
export type WeightNames = "ours" | "torchvision";

/** What the file of another program holds. */
export interface TorchWeights {
  readonly architecture: Architecture;
  /** The network's own name of a tensor of the file. */
  readonly ours: (stored: string) => string;
  /** The file's name of a tensor of the network. */
  readonly stored: (ours: string) => string;
}

type Shape = readonly number[];
type Refuse = (expected: string, found: string) => never;

/** What libraries wrap a network in, each with a name before those of its tensors. */
const wrappers = ["module.", "_orig_mod."]; // DataParallel and DistributedDataParallel, torch.compile

/** Names that only networks of other families have. */
const families: readonly (readonly [RegExp, string])[] = [
  [/^conv1\.\d/, "a stem of three convolutions, as a ResNet-D (resnet50d) has"],
  [/\.downsample\.2\./, "average pooling before the convolutions of its shortcuts, as a ResNet-D (resnet50d) has"],
  [/\.(se|eca|attn|cbam)\d?\./, "attention to channels, as SE-ResNets have"],
  [/^layer\d\.\d+\.(conv1|bn1)\.\d/, "blocks of another kind"],
];

/** The name that torchvision and timm give to what is `name` here. */
export function torchvisionName(name: string): string {
  return name.replace(".shortcut.", ".downsample.");
}

export function ownName(torchvision: string): string {
  return torchvision.replace(".downsample.", ".shortcut.");
}

/**
 * The network whose weights a file holds. Nothing is read but names and shapes.
 *
 * @throws ERR_CORRUPT_FILE where they are those of no network that {@link ResNet} can be
 */
export function recogniseWeights(file: SafetensorsFile): TorchWeights {
  const { path } = file;
  const prefix = commonPrefix([...file.tensors.keys()]);
  const shapes = new Map([...file.tensors].map(([name, { shape }]) => [name.slice(prefix.length), shape]));
  const refuse: Refuse = (expected, found) => {
    throw corruptFile(path, expected, found);
  };
  for (const name of shapes.keys()) {
    const family = families.find(([pattern]) => pattern.test(name));
    if (family !== undefined) refuse("a ResNet of torchvision, timm or DDU", `${prefix}${name}: ${family[1]}`);
  }
  const normalised = shapes.has("conv1.weight_orig");
  const weight = normalised ? "weight_orig" : "weight";
  const shapeOf = (name: string, dimensions: number): Shape => {
    const shape = shapes.get(name);
    if (shape?.length === dimensions) return shape;
    const expected = `a tensor ${prefix}${name} of ${dimensions} dimensions, as ResNets of torchvision, timm and DDU have`;
    return refuse(expected, shape === undefined ? someOf([...shapes.keys()]) : `shape [${shape.join(", ")}]`);
  };
  const [planes = 0, inChannels = 0, kernel = 0] = shapeOf(`conv1.${weight}`, 4);
  const [numClasses = 0, featureDim = 0] = shapeOf("fc.weight", 2);
  if (kernel !== 3 && kernel !== 7) refuse("a first convolution of 3×3 or 7×7", `${kernel}×${kernel}`);
  const bottleneck = shapes.has(`layer1.0.conv3.${weight}`);
  if (bottleneck) requirePlainBottleneck(shapeOf, weight, refuse);
  const torchvision = [...shapes.keys()].some((name) => name.includes(".downsample."));
  const projection = torchvision || [...shapes.keys()].some((name) => name.includes(".shortcut."));
  const options: ArchitectureOptions = {
    depth: depthOf(shapes.keys(), bottleneck, refuse),
    stem: kernel === 7 ? "imagenet" : "cifar",
    ...{ numClasses, inChannels, featureDim, width: planes / 64 },
    imageSize: normalised ? normalisedSize(shapeOf("conv1.weight_v", 1), inChannels) : undefined,
    // In DDU's code leaky ReLU and average-pool shortcuts are one switch.
    ...{ leakyRelu: !projection, avgPoolShortcut: !projection },
    spectralNorm: normalised ? {} : false,
    l2Normalize: false,
  };
  let architecture: Architecture;
  try {
    architecture = resolveArchitecture(options);
  } catch (error) {
    return refuse("the weights of a network that ResNet.create can make", (error as Error).message);
  }
  const theirs = torchvision ? torchvisionName : (name: string) => name;
  return {
    architecture,
    ours: (stored) => ownName(stored.slice(prefix.length)),
    stored: (ours) => prefix + theirs(ours),
  };
}

/**
 * Requires the tensors of a network in a file, each of its shape. Counters of batches may be missing: evaluation does without, and old files have none.
 *
 * @throws ERR_CORRUPT_FILE naming those that are missing, surplus or of another shape
 */
export function requireTensors(file: SafetensorsFile, { architecture, stored }: TorchWeights): void {
  const found = new Map([...file.tensors].map(([name, { shape }]) => [name, shape]));
  const all = tensorsOf(architecture).map(({ name, shape }) => [stored(name), shape] as const);
  const expected = new Map(all.filter(([name]) => found.has(name) || !isCounter(name)));
  const { text } = differences(found, expected);
  if (text !== "") throw corruptFile(file.path, `the ${expected.size} tensors of a ResNet${architecture.depth}`, text);
}

/** @throws ERR_OPTION naming the switches of a network that torchvision's code does not have */
export function requireTorchvision({ leakyRelu, avgPoolShortcut, spectralNorm }: Architecture): void {
  const found = Object.entries({ leakyRelu, avgPoolShortcut, spectralNorm: spectralNorm !== false }).filter(([, on]) => on);
  if (found.length === 0) return;
  fail("ERR_OPTION", "names", '"ours" for a network with switches that torchvision does not have', found.map(([name]) => name).join(", "));
}

/** Whether a tensor is the number of batches that a batch norm has seen. */
export function isCounter(name: string): boolean {
  return name.endsWith(".num_batches_tracked");
}

function commonPrefix(names: readonly string[]): string {
  let prefix = "";
  for (;;) {
    const wrapper = wrappers.find((one) => names.length > 0 && names.every((name) => name.startsWith(prefix + one)));
    if (wrapper === undefined) return prefix;
    prefix += wrapper;
  }
}

/** Blocks of each layer, by depth. */
const blocksOf: Readonly<Record<ResNetDepth, string>> = { 18: "2,2,2,2", 34: "3,4,6,3", 50: "3,4,6,3", 101: "3,4,23,3", 152: "3,8,36,3" };

function depthOf(names: Iterable<string>, bottleneck: boolean, refuse: Refuse): ResNetDepth {
  const counts = [0, 0, 0, 0];
  for (const name of names) {
    const [, layer, block] = /^layer([1-4])\.(\d{1,3})\./.exec(name) ?? [];
    const index = Number(layer) - 1;
    if (block !== undefined) counts[index] = Math.max(counts[index] as number, Number(block) + 1);
  }
  const depths = resNetDepths.filter((depth) => depth >= 50 === bottleneck);
  const depth = depths.find((one) => blocksOf[one] === String(counts));
  const kind = bottleneck ? "bottlenecks" : "blocks of two convolutions";
  const known = depths.map((one) => `${blocksOf[one]} (ResNet${one})`).join(" or ");
  return depth ?? refuse(`layers of ${known} ${kind}`, counts.join(","));
}

/** Refuses bottlenecks that are narrower or wider inside than a quarter of what they give, and grouped convolutions. */
function requirePlainBottleneck(shapeOf: (name: string, dimensions: number) => Shape, weight: string, refuse: Refuse): void {
  const [inner = 0, middle = 0, outer = 0] = [1, 2, 3].map((i) => shapeOf(`layer1.0.conv${i}.${weight}`, 4)[i === 2 ? 1 : 0]);
  if (middle > 0 && middle < inner) {
    refuse("convolutions of one group", `${inner / middle} groups in layer1.0.conv2, as a ResNeXt (resnext50_32x4d) has`);
  }
  if (inner * 4 !== outer) {
    const found = `${inner} of ${outer} in layer1.0, as a wide ResNet (wide_resnet50_2) has`;
    refuse("bottlenecks whose inner convolution has a quarter of the channels that they give", found);
  }
}

/** Side of the images on whose operator the spectral norm of the first convolution is estimated. */
function normalisedSize([elements = 0]: Shape, inChannels: number): number {
  return Math.round(Math.sqrt(elements / inChannels));
}

function someOf(names: readonly string[]): string {
  return names.length === 0 ? "no tensor" : `${names.slice(0, 3).join(", ")}${names.length > 3 ? `, and ${names.length - 3} more` : ""}`;
}
