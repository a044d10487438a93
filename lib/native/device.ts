// The devices and threads that compute runs on.

import { integer, string } from "../core/checks";
import { native, type NativeInfo } from "./surface";
import { callNative, runNative } from "./call";

/** What the loaded libtorch offers: its version, CPU capability ("AVX512", …), threads, number of CUDA devices. */
export type DeviceInfo = NativeInfo;

/** Loads libtorch where it is not loaded yet. @throws ERR_LIBTORCH_NOT_FOUND, ERR_LIBTORCH_VERSION */
export function info(): DeviceInfo {
  return callNative(() => native().info());
}

/** True where `device: "cuda"` can be asked for. */
export function cudaAvailable(): boolean {
  return info().cudaDevices > 0;
}

/**
 * Throws where a device is unavailable: for a check before long work that is to run there.
 *
 * @param device - `"cpu"`, `"cuda"` or `"cuda:N"`
 * @throws ERR_DEVICE where the device is unavailable, ERR_OPTION, ERR_LIBTORCH_NOT_FOUND
 */
export function requireDevice(device: string): void {
  callNative(() => new (native().NearestNeighbours)(string(device, "device"))).dispose(); // the smallest thing that lives on a device
}

/**
 * Sets the number of threads that the CPU's compute thread divides an operation among (default: OpenMP's choice, one
 * per core). Takes effect after the jobs submitted before. Results of the same number of threads are bit for bit alike;
 * those of another number may differ in the last bits.
 */
export async function setThreads(threads: number): Promise<void> {
  integer(threads, "threads", 1, 1024);
  await runNative(undefined, (control) => native().setThreads(control, threads));
}
