// Reads from the METADATA of a PyTorch wheel which of NVIDIA's packages it needs.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * The requirements, as pip takes them, for running a CUDA build: all of NVIDIA's packages, or only the two without which
 * its libtorch_cpu does not load.
 *
 * Wheels name either each package ("nvidia-cuda-cupti-cu12==12.8.90") or, newer, one with extras
 * ("cuda-toolkit[cublas,cudart,cupti]==13.0.3").
 */
export function nvidiaRequirements(metadata: string, wanted: "all" | "cpu"): string[] {
  const requirements: string[] = [];
  for (const [, text] of metadata.matchAll(/^Requires-Dist: *([^;\r\n]+)/gm)) {
    const [, name, extras, version] = /^([\w.-]+) *(?:\[([^\]]*)\])? *\(?([^()]*)\)?$/.exec(text!.trim()) ?? [];
    if (name === undefined || !/^(nvidia-|cuda-toolkit$)/.test(name)) continue;
    if (wanted === "all") {
      requirements.push(`${name}${extras ? `[${extras}]` : ""}${version}`);
    } else if (name === "cuda-toolkit") {
      requirements.push(`${name}[cudart,cupti]${version}`);
    } else if (/^nvidia-cuda-(runtime|cupti)(-cu\d+)?$/.test(name)) {
      requirements.push(`${name}${version}`);
    }
  }
  return requirements;
}

/** The METADATA of the torch wheel that was installed into a directory; undefined if there is none. */
export function torchMetadata(directory: string): string | undefined {
  const info = readdirSync(directory).find((name) => /^torch-[^/]*\.dist-info$/.test(name));
  return info && readFileSync(join(directory, info, "METADATA"), "utf8");
}
