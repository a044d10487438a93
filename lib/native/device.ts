// The devices and threads that compute runs on: what there is, whether a device is available, and how many threads the CPU uses.

import { integer, string } from "../core/checks";
import { native, type NativeInfo } from "./surface";
import { callNative, runNative } from "./call";

/**
 * What the loaded libtorch offers.
 *
 * - `libtorch`: its version, such as `"2.13.0+cpu"`.
 * - `builtFor`: the libtorch that the addon was compiled against.
 * - `cpuCapability`: the instruction set of its CPU kernels, such as `"AVX512"`.
 * - `bfloat16`: whether the CPU multiplies bfloat16 natively. Without that, `precision: "bfloat16"` is slower than float32.
 * - `threads`: the number of CPU threads that one operation is divided among.
 * - `cudaDevices`: the number of CUDA devices.
 */
export type DeviceInfo = NativeInfo;

/**
 * What the loaded libtorch offers. Loads libtorch if it is not loaded yet.
 *
 * @throws ERR_LIBTORCH_NOT_FOUND where no libtorch was found that serves; ERR_LIBTORCH_VERSION where the one found has another version than the addon
 *   was compiled for; ERR_IO where the addon is missing, damaged, or not made for this system
 * @example
 * import { device } from "libtorch-ood";
 *
 * const { libtorch, threads, cudaDevices } = device.info();
 * console.log(`libtorch ${libtorch}, ${threads} threads, ${cudaDevices} CUDA devices`);
 */
export function info(): DeviceInfo {
  return callNative(() => native().info());
}

/**
 * Whether `device: "cuda"` is available. Loads libtorch if it is not loaded yet.
 *
 * @throws what {@link info} throws
 */
export function cudaAvailable(): boolean {
  return info().cudaDevices > 0;
}

/**
 * Throws where a device is unavailable. Call it before long work that will run there.
 *
 * @param device - `"cpu"`, `"cuda"` or `"cuda:N"`
 * @throws ERR_DEVICE where the device is unavailable; ERR_OPTION where `device` is not one of these names; and what {@link info} throws
 */
export function requireDevice(device: string): void {
  callNative(() => new (native().NearestNeighbours)(string(device, "device"))).dispose(); // the smallest thing that lives on a device
}

/**
 * Sets the number of CPU threads that one operation is divided among. By default OpenMP chooses: one per core, and no more than the process's CPU
 * quota.
 *
 * The change takes effect after the jobs submitted before. Results with the same number of threads are bit for bit alike; results with another number
 * may differ in the last bits.
 *
 * @param threads - 1 to 1024
 * @throws ERR_OPTION where `threads` is no integer; ERR_RANGE where it is outside 1 to 1024; and what {@link info} throws
 */
export async function setThreads(threads: number): Promise<void> {
  integer(threads, "threads", 1, 1024);
  await runNative(undefined, (control) => native().setThreads(control, threads));
}
