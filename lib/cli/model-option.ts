// The model of a command: opens it, and the options that say how.

import type { Command } from "commander";
import { preprocessings, type Preprocessing, type PreprocessingName } from "../data/preprocessing";
import type { ImageResize } from "../images/geometry";
import type { FeatureExtractor } from "../models/extractor";
import { loadModel } from "../models/load-model";
import type { ReadDataOptions } from "./data-sets";
import { readClassNames } from "./extracted";
import { choice, given } from "./option-values";

/** What a command's help calls a model. */
export const modelArgument =
  'a network that "train" wrote, weights of torchvision or timm (.safetensors), a TorchScript (.pt) or an ONNX model (.onnx)';

/** The options of every command that takes a model. */
export interface ModelOptions {
  preprocessing?: PreprocessingName;
  featuresAt?: string;
  device?: string;
}

/** Adds the options that say how a model is read. */
export function addModelOptions(command: Command): Command {
  return command
    .addOption(
      choice(
        "--preprocessing <name>",
        "what becomes of a picture before a TorchScript or ONNX model sees it (default: as the network's file says)",
        Object.keys(preprocessings),
      ),
    )
    .option("--features-at <name>", "the value or submodule that gives the features (default: the input of the last linear layer)");
}

/** Opens the model. @throws what {@link loadModel} throws */
export async function openModel(
  path: string,
  { preprocessing: input, featuresAt: features, device }: ModelOptions,
  classNames?: { file: string | undefined; signal: AbortSignal },
): Promise<FeatureExtractor> {
  const names = classNames?.file === undefined ? undefined : await readClassNames(classNames.file, classNames.signal);
  return loadModel(path, given({ input, features, device, classNames: names }));
}

/** How a command reads images for a model. */
export type Reading = Pick<ReadDataOptions, "imageSize" | "channels" | "resize">;

/** How images are read for a model with this preprocessing. */
export function readingOf(input: Preprocessing | undefined, resize?: ImageResize): Reading {
  const { size: imageSize = 32, channels = 3 } = input ?? {};
  return given({ imageSize, channels, resize: resize ?? input?.resize });
}
