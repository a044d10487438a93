// The model of a command: opens it, and the options that say how.

import { InvalidArgumentError, type Command } from "commander";
import {
  checkPreprocessing,
  preprocessings,
  type Preprocessing,
  type PreprocessingName,
  type PreprocessingOptions,
} from "../data/preprocessing";
import type { ImageResize } from "../images/geometry";
import type { FeatureExtractor } from "../models/extractor";
import { loadModel } from "../models/load-model";
import type { ReadDataOptions } from "./data-sets";
import { readClassNames } from "../formats/class-list";
import { given } from "./option-values";

/** What a command's help calls a model. */
export const modelArgument =
  'a network that "train" wrote, weights of torchvision or timm (.safetensors), a TorchScript (.pt) or an ONNX model (.onnx)';

/** The options of every command that takes a model. */
export interface ModelOptions {
  preprocessing?: Preprocessing;
  featuresAt?: string;
  device?: string;
}

/** Adds the options that say how a model is read. */
export function addModelOptions(command: Command): Command {
  return command
    .option(
      "--preprocessing <name|json>",
      `what becomes of a picture before the model sees it: ${Object.keys(preprocessings).join(", ")}, or JSON such as ` +
        '{"size":224,"resizeTo":256,"mean":[0.5,0.5,0.5],"std":[0.5,0.5,0.5]} (default: as the file of a ResNet says)',
      preprocessingOf,
    )
    .option("--features-at <name>", "the value or submodule that gives the features (default: the input of the last linear layer)");
}

function preprocessingOf(text: string): Preprocessing {
  try {
    return checkPreprocessing(text.startsWith("{") ? (JSON.parse(text) as PreprocessingOptions) : (text as PreprocessingName), "value");
  } catch (error) {
    throw new InvalidArgumentError(`${(error as Error).message}.`);
  }
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
export type Reading = Pick<ReadDataOptions, "imageSize" | "channels" | "resize" | "preprocessing">;

/** How images are read for a model with this preprocessing. */
export function readingOf(input: Preprocessing | undefined, resize?: ImageResize): Reading {
  const { size: imageSize = 32, channels = 3 } = input ?? {};
  const preprocessing = input && { ...input, resize: resize ?? input.resize };
  return given({ imageSize, channels, resize: resize ?? input?.resize, preprocessing });
}
