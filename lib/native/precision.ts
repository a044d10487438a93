// The precision of convolutions: what a caller may ask for, what `"auto"` becomes on a device, and a warning where bfloat16 is slow.

import { oneOf } from "../core/checks";
import { info } from "./device";
import { warn } from "../core/warnings";

/**
 * What a caller may ask for. `"auto"` is bfloat16 where the CPU multiplies it natively (`device.info().bfloat16`) and on a CUDA device, else float32.
 * A float64 network computes in float64 whatever is asked for, except that training with `"bfloat16"` uses bfloat16.
 */
export type Precision = "auto" | "float32" | "bfloat16";

/** The precision that convolutions are computed in. */
export type ComputePrecision = "float32" | "bfloat16";

export const precisions = ["auto", "float32", "bfloat16"] as const;
export const computePrecisions = ["float32", "bfloat16"] as const;

/**
 * The value, `"float32"` where it is undefined.
 *
 * @throws ERR_OPTION for anything but one of {@link precisions}
 */
export function checkPrecision(value: unknown): Precision {
  return oneOf(value ?? "float32", "precision", precisions);
}

/**
 * The precision that is used for a network of this dtype on this device. `"auto"` becomes `"bfloat16"` where the network is float32 and the device
 * computes bfloat16 natively, else `"float32"`. Any other value is returned as it is.
 *
 * @param asked - the precision that was asked for
 * @param device - `"cpu"`, `"cuda"` or `"cuda:N"`
 * @param dtype - dtype of the network's weights. Default `"float32"`.
 * @throws for `"auto"` on the CPU what `device.info` throws
 * @example
 * import { device } from "libtorch-ood";
 *
 * device.resolvePrecision("auto", "cpu"); // "bfloat16" on a CPU that has units for it, else "float32"
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
