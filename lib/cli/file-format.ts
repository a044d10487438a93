// What a file of this library is, by its metadata: a network or a detector.

import { LibtorchOodError } from "../errors";
import { openSafetensors } from "../files/safetensors";

/** @throws ERR_OPTION for another .safetensors file; ERR_CORRUPT_FILE, ERR_IO */
export async function fileFormat(path: string): Promise<"network" | "detector"> {
  const file = await openSafetensors(path);
  const format = file.metadata.get("format");
  await file.close();
  if (format === "libtorch-ood/resnet") return "network";
  if (format === "libtorch-ood/detector") return "detector";
  const found = format === undefined ? "a file of another program" : JSON.stringify(format);
  throw new LibtorchOodError("ERR_OPTION", `${path}: expected a network of "train" or a detector of "fit", found ${found}`);
}
