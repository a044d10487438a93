// The public `files`: arrays in NumPy's .npy files and in .safetensors files, which other programs read and write.

export {
  openFeatures,
  type FeaturesArray,
  type FeaturesArrays,
  type FeaturesFile,
  type FeaturesForm,
  type FeaturesName,
  type FeaturesPiece,
  type FeaturesPiecesOptions,
  type FeaturesRows,
} from "./features-file";
export { NpyWriter, readNpy, type Npy, type NpyArray, type NpyArrays, type NpyDtype, type NpyRows, type NpyWrittenDtype } from "./npy";
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
