// The public `device` namespace: the devices and threads that compute runs on, and the precision that suits them.

export { cudaAvailable, info, requireDevice, setThreads, type DeviceInfo } from "./native/device";
export { resolvePrecision } from "./native/precision";
