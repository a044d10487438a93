// The precision of convolutions: what a caller may ask for, what "auto" comes to on a device, and a warning where bfloat16 is slow.

import { oneOf } from "../core/checks";
import { info } from "./device";
import { warn } from "../core/warnings";

/**
 * What may be asked for. "auto": bfloat16 where the processor has units for it (`device.info().bfloat16`) or on a CUDA device, else float32.
 * A network of float64 stays in float64 unless it is trained with "bfloat16".
 */
export type Precision = "auto" | "float32" | "bfloat16";

/** What convolutions are computed in. */
export type ComputePrecision = "float32" | "bfloat16";

export const precisions = ["auto", "float32", "bfloat16"] as const;
export const computePrecisions = ["float32", "bfloat16"] as const;

/** @throws ERR_OPTION */
export function checkPrecision(value: unknown): Precision {
  return oneOf(value ?? "float32", "precision", precisions);
}

/**
 * What a precision comes to for a network of this dtype on this device: "auto" becomes "bfloat16" where the device has units for it, else "float32".
 *
 * @param device - `"cpu"`, `"cuda"` or `"cuda:N"`
 * @param dtype - of the weights of the network; default "float32"
 * @throws ERR_LIBTORCH_NOT_FOUND where "auto" is asked for on the CPU
 */
export function resolvePrecision(asked: Precision, device: string, dtype: "float32" | "float64" = "float32"): ComputePrecision {
  if (asked !== "auto") return asked;
  return dtype === "float32" && hasBfloat16(device) ? "bfloat16" : "float32";
}

/** Warns once where bfloat16 costs time instead of saving it. The factors were measured with a ResNet18; docs/results/benchmarks.md has them. */
export function warnIfSlow(precision: ComputePrecision, device: string): void {
  if (precision !== "bfloat16" || hasBfloat16(device)) return;
  const { cpuCapability } = info();
  const factor = slowdown[cpuCapability];
  const measured = factor === undefined ? "not faster than float32" : `${factor} times slower than float32`;
  warn(
    "LIBTORCH_OOD_SLOW_PRECISION",
    `precision: "bfloat16" is ${measured} on a processor without bfloat16 units, as this one (${cpuCapability}); "auto" takes float32 here`,
  );
}

const slowdown: Readonly<Record<string, string>> = { AVX512: "3 to 6", AVX2: "1.3 to 1.6" };

function hasBfloat16(device: string): boolean {
  return !device.startsWith("cpu") || info().bfloat16;
}
