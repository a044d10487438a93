// Arrays in files that other programs read: the public `files`.

export { NpyWriter, readNpy, type Npy, type NpyArray, type NpyArrays, type NpyDtype } from "./npy";
export {
  openSafetensors,
  parseSafetensors,
  readSafetensors,
  toValues,
  writeSafetensors,
  type SafetensorsContent,
  type SafetensorsDtype,
  type SafetensorsFile,
  type SafetensorsInput,
  type SafetensorsTensor,
  type SafetensorsWriteOptions,
} from "./safetensors";
