// Arrays in files that other programs read: the public `files`.

export { NpyWriter, readNpy, type Npy, type NpyArray, type NpyArrays, type NpyDtype } from "./npy";
