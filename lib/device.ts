// The devices and threads that compute runs on, and what precision they favour: the public `device`.

export { cudaAvailable, info, requireDevice, setThreads, type DeviceInfo } from "./native/device";
export { resolvePrecision } from "./native/precision";
