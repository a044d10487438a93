// `libtorch-ood inspect`: says what a file or folder is: a model, a detector, features, tensors, images.

import { stat } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { io } from "../core/file-errors";
import { listImageFolder } from "../data/image-folder";
import type { Preprocessing } from "../data/preprocessing";
import { readDetectorFile } from "../detector/detector-file";
import { formatName } from "../formats/format-names";
import { readNpy } from "../formats/npy";
import { openRegularFile, readExactly } from "../formats/regular-file";
import { openSafetensors, type SafetensorsEntry } from "../formats/safetensors";
import { plainHeader } from "../images/header";
import { imageFormat } from "../images/signature";
import { modelFileKind } from "../models/load-model";
import { ResNet } from "../models/resnet/resnet";
import { readClassesBeside } from "../formats/features-layout";
import { arrayFiles } from "./extracted";
import { recordName } from "../formats/extraction-record";
import { addModelOptions, openModel, type ModelOptions } from "./model-option";
import { addSessionOptions, exitCodesHelp, runSession, type Session, type SessionOptions } from "./session";
import { facts, type Cell } from "./table";

interface InspectOptions extends SessionOptions, ModelOptions {}

const help = `
A TorchScript or ONNX file is a program. The command runs it, on two blank pictures, only if --preprocessing says what its pictures are like.

Examples:
  libtorch-ood inspect detector.safetensors
  libtorch-ood inspect features/train
  libtorch-ood inspect mobilenet.onnx --preprocessing imagenet

${exitCodesHelp}`;

export function inspectCommand(): Command {
  const command = new Command("inspect")
    .description("say what a file or folder is: a model, a detector, features, tensors or images")
    .argument("<file>", "the file or folder");
  return addSessionOptions(addModelOptions(command))
    .addHelpText("after", help)
    .action((file: string, options: InspectOptions) =>
      runSession(options, async (session) => {
        const found = await inspect(file, options, session);
        if (options.json) await session.output.json({ file, ...found });
        else await session.output.print(facts(Object.entries(found).map(([name, value]) => [words(name), cell(value)] as const)));
      }),
    );
}

/** What is found, by name; values are text, numbers, lists or objects. */
type Findings = { kind: string } & Record<string, unknown>;

async function inspect(path: string, options: InspectOptions, session: Session): Promise<Findings> {
  if ((await io("read", path, stat(path))).isDirectory()) return inspectFolder(path, session);
  const start = await firstBytes(path);
  if (start.toString("latin1", 0, 6) === "\x93NUMPY") {
    const { dtype, shape } = await readNpy(path);
    return { kind: "an array", dtype, shape };
  }
  if (imageFormat(start) !== undefined) {
    const header = plainHeader(start);
    return { kind: "an image", ...(header ? { width: header.width, height: header.height } : {}) };
  }
  const kind = await modelFileKind(path);
  if (kind === "resnet") return inspectTensors(path);
  const name = kind === "onnx" ? "an ONNX model" : "a TorchScript model";
  if (options.preprocessing === undefined) return { kind: name, more: "give --preprocessing to run it on blank pictures" };
  const model = await openModel(path, options);
  try {
    const { input, featureDim, numClasses, classNames, features, sha256 } = model.describe();
    const head = await model.head();
    for (const tensor of head ? [head.weight, head.bias] : []) tensor.dispose();
    return {
      ...{ kind: name, input: inputWords(input), features: features ?? "the input of the last linear layer", featureDim, numClasses },
      ...{ head: head ? `[${numClasses}, ${featureDim}]` : "none", classNames, sha256 },
    };
  } finally {
    model.dispose();
  }
}

async function inspectFolder(path: string, { signal }: Session): Promise<Findings> {
  const arrays: Record<string, string> = {};
  for (const name of arrayFiles) {
    const there = await stat(join(path, name)).catch(() => undefined);
    if (there === undefined) continue;
    const { dtype, shape } = await readNpy(join(path, name));
    arrays[name] = `${dtype} [${shape.join(", ")}]`;
  }
  if (Object.keys(arrays).length > 0) {
    const record = (await stat(join(path, recordName)).catch(() => undefined)) !== undefined;
    return { kind: "features", writtenBy: record ? "extract" : "another program", ...arrays, classNames: await readClassesBeside(path) };
  }
  const { classNames, files } = await listImageFolder(path, { signal, onError: "skip" });
  const counts = classNames.map((name, label) => `${name} ${files.filter((file) => file.label === label).length}`);
  return { kind: "a folder of images", images: files.length, classes: counts };
}

async function inspectTensors(path: string): Promise<Findings> {
  const file = await openSafetensors(path);
  const { tensors } = file;
  const format = file.metadata.get("format");
  await file.close();
  const parameters = [...tensors].filter(([name]) => isParameter(name)).reduce((sum, [, entry]) => sum + elementsOf(entry), 0);
  if (format === "libtorch-ood/detector") {
    const { description, calibrationScores } = await readDetectorFile(path);
    const { network, model, score, classNames, falseAlarmRate, extraction, preset, warnings } = description;
    return {
      kind: "a detector",
      takes: network || model ? "images" : `features (${description.evidence.join(", ")})`,
      model: model ? `${model.kind}, not in this file: ${model.path ?? model.name}` : network && "a ResNet, in this file",
      sha256: model?.sha256,
      input: inputWords(model?.input ?? (network && { ...network.geometry, ...network.normalization })),
      score: score.name,
      ...{ classNames, falseAlarmRate, calibrationInputs: calibrationScores.length },
      precision: network || model ? extraction.precision : undefined,
      preset: preset?.name,
      warnings: warnings.length === 0 ? undefined : warnings,
    };
  }
  const isNetwork = format === "libtorch-ood/resnet" || [...tensors.keys()].some((name) => /(^|\.)conv1\.weight(_orig)?$/.test(name));
  if (isNetwork) {
    const { architecture, input, classNames, dtype, preset, epochsDone } = await ResNet.describe(path);
    const { depth, featureDim, numClasses } = architecture;
    return {
      ...{ kind: epochsDone === undefined ? "a network" : "a checkpoint", network: `ResNet${depth}`, parameters, dtype },
      input: inputWords(input ?? { channels: architecture.inChannels, size: architecture.imageSize }),
      ...{ featureDim, numClasses, head: `[${numClasses}, ${featureDim}]`, classNames, preset: preset?.name, epochsDone },
      architecture: JSON.stringify(architecture),
    };
  }
  const list = Object.fromEntries([...tensors].map(([name, { dtype, shape }]) => [name, `${dtype} [${shape.join(", ")}]`]));
  if (format !== undefined) return { kind: formatName(format), ...list };
  const isFeatures = ["features", "rawFeatures", "logits"].some((name) => tensors.has(name));
  return { kind: isFeatures ? "features" : "tensors of another program", ...list };
}

function inputWords(input: (Pick<Preprocessing, "channels" | "size"> & Partial<Preprocessing>) | undefined): string | undefined {
  if (input === undefined) return undefined;
  const { channels, size, resize, resizeTo, kernel, mean, std } = input;
  const how =
    resize === undefined
      ? ""
      : resize === "center-crop"
        ? `, shorter side ${resizeTo} and centre crop, ${kernel}`
        : `, ${resize}, ${kernel}`;
  const constants =
    mean === undefined ? ", no normalisation constants yet" : `, mean ${mean.join(" ")}, std ${(std as readonly number[]).join(" ")}`;
  return `${channels === 1 ? "grey" : channels === 3 ? "RGB" : `${channels} channels`} ${size}×${size}${how}${constants}`;
}

/** Buffers of batch and spectral norms, and momentum, are none. */
function isParameter(name: string): boolean {
  return !/running_(mean|var)$|num_batches_tracked$|weight_(u|v|sigma)$|^optimizer\./.test(name);
}

function elementsOf({ shape }: SafetensorsEntry): number {
  return shape.reduce((product, size) => product * size, 1);
}

async function firstBytes(path: string): Promise<Buffer> {
  const { handle, size } = await openRegularFile(path);
  try {
    const bytes = Buffer.alloc(Math.min(size, 1 << 20));
    await readExactly(handle, path, 0, bytes);
    return bytes;
  } finally {
    await handle.close();
  }
}

/** "featureDim" is "feature dim" for people. */
function words(name: string): string {
  return name.includes(".") ? name : name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function cell(value: unknown): Cell {
  if (value === undefined || typeof value === "number") return value;
  if (!Array.isArray(value)) return typeof value === "string" ? value : JSON.stringify(value);
  const texts = value.map(String);
  return texts.length > 12 ? `${texts.slice(0, 12).join(", ")}, … (${texts.length})` : texts.join(", ");
}
