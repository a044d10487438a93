// Tells what a file holds, by its first bytes, its metadata or its tensors: a model, a detector, or features.

import { LibtorchOodError } from "../core/errors";
import { modelOutputs } from "../core/model-outputs";
import { modelFileKind } from "../models/load-model";
import { openSafetensors } from "../formats/safetensors";

/** The kind of a file. @throws ERR_OPTION for a file of another kind; ERR_CORRUPT_FILE for a damaged file; ERR_IO for one that cannot be read */
export async function fileFormat(path: string): Promise<"network" | "detector" | "features"> {
  if ((await modelFileKind(path)) !== "resnet") return "network";
  const file = await openSafetensors(path);
  const format = file.metadata.get("format");
  await file.close();
  if (format === "libtorch-ood/resnet") return "network";
  if (format === "libtorch-ood/detector") return "detector";
  if (modelOutputs.some((name) => file.tensors.has(name))) return "features";
  if (format === undefined && [...file.tensors.keys()].some((name) => /(^|\.)conv1\.weight(_orig)?$/.test(name))) return "network"; // weights of torchvision or timm
  const found = format === undefined ? "a file of another program" : JSON.stringify(format);
  throw new LibtorchOodError(
    "ERR_OPTION",
    `${path}: expected a network of "train", a detector of "fit" or features of "extract", found ${found}`,
  );
}
