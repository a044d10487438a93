// Loads a model from a file of any kind that this library knows, told apart by its first bytes.

import { open } from "node:fs/promises";
import { LibtorchOodError } from "../core/errors";
import { corruptFile, io } from "../core/file-errors";
import type { PreprocessingName, PreprocessingOptions } from "../data/preprocessing";
import { calledFrom } from "../native/call";
import type { ExtractorKind, OwnExtractor } from "./extractor";
import { OnnxModel } from "./onnx/onnx-model";
import { ResNet } from "./resnet/resnet";
import { TorchScriptModel } from "./torchscript";

/** Options of {@link loadModel}. */
export interface LoadModelOptions {
  /**
   * What becomes of a picture before the model sees it. TorchScript and ONNX models need it; a ResNet's file usually says it itself.
   */
  input?: PreprocessingOptions | PreprocessingName;
  /** Name of the value or submodule that gives the features, where the last linear layer's input is not wanted. Not for a ResNet. */
  features?: string;
  /** Names of the classes, in the order of the logits. Default: those in the file, if it has any. */
  classNames?: readonly string[];
  /** Device: "cpu", "cuda" or "cuda:N". Default "cpu". */
  device?: string;
}

/**
 * Loads a model from a file: a ResNet (.safetensors of this library, DDU, torchvision or timm), a TorchScript model (.pt) or an ONNX model (.onnx). The
 * first bytes of the file tell which.
 *
 * A TorchScript or ONNX file is a program that its runtime executes: load only files that you trust.
 *
 * @param path - path of the file
 * @throws ERR_CORRUPT_FILE for a file of another kind; ERR_OPTION without `input` where the model needs it, and for `features` with a ResNet; what {@link ResNet.load},
 *   {@link TorchScriptModel.load} and {@link OnnxModel.load} throw
 * @example
 * const model = await loadModel("mobilenet.onnx", { input: "imagenet" });
 * console.log(model.kind, model.featureDim, model.numClasses); // onnx 576 1000
 */
export function loadModel(path: string, options: LoadModelOptions = {}): Promise<OwnExtractor> {
  return calledFrom(loadModel, () => load(path, options));
}

async function load(path: string, { input, features, classNames, device }: LoadModelOptions): Promise<OwnExtractor> {
  const kind = await modelFileKind(path);
  const common = Object.fromEntries(Object.entries({ input, classNames, device }).filter(([, value]) => value !== undefined));
  if (kind === "resnet") {
    if (features !== undefined) {
      throw new LibtorchOodError("ERR_OPTION", `features: expected it with a TorchScript or ONNX model, found the ResNet ${path}`);
    }
    return ResNet.load(path, common);
  }
  if (input === undefined) {
    const expected = 'what becomes of a picture before the model sees it, such as "imagenet"';
    throw new LibtorchOodError("ERR_OPTION", `input: expected ${expected} (--preprocessing on the command line), found none for ${path}`);
  }
  const options = { ...common, input, ...(features === undefined ? {} : { features }) };
  return kind === "onnx" ? OnnxModel.load(path, options) : TorchScriptModel.load(path, options);
}

/**
 * The kind of a model's file, by its first bytes.
 *
 * @throws ERR_CORRUPT_FILE for a file of another kind, a pickle among them; ERR_IO for one that cannot be read
 */
export async function modelFileKind(path: string): Promise<Exclude<ExtractorKind, "custom">> {
  const file = await io("open", path, open(path));
  try {
    const { buffer, bytesRead } = await io("read", path, file.read(Buffer.alloc(16), 0, 16, 0));
    const start = buffer.subarray(0, bytesRead);
    if (start.subarray(0, 4).equals(Buffer.from("PK\x03\x04", "latin1"))) return "torchscript";
    if (/\.safetensors$/i.test(path) || (bytesRead > 8 && start[8] === 0x7b)) return "resnet"; // a length of 8 bytes, then JSON
    if (/\.onnx$/i.test(path) || start[0] === 0x08) return "onnx"; // protobuf: field 1 of a ModelProto, its version
    const pickle = start[0] === 0x80;
    const found = pickle
      ? "a pickle, as torch.save wrote them until 2020"
      : bytesRead === 0
        ? "no bytes"
        : `bytes that begin ${start.toString("hex")}`;
    throw corruptFile(path, "a ResNet (.safetensors), a TorchScript model (.pt) or an ONNX model (.onnx)", found);
  } finally {
    await file.close();
  }
}
