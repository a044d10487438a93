// The tensors of an architecture, as the addon describes them; files are checked, and memory is estimated, by them.

import { callNative } from "../../native/call";
import { native, type NativeTensorDescription } from "../../native/surface";
import { toNativeArchitecture, type Architecture } from "./architecture";

/** Name, shape and dtype of every parameter and buffer of a float32 network, parameters first. No memory is allocated for their elements. */
export function tensorsOf(architecture: Architecture): readonly NativeTensorDescription[] {
  return callNative(() => native().ResNet.describe(toNativeArchitecture(architecture)));
}

/** Names of the parameters, without the buffers of batch norm and spectral norm. */
export function parametersOf(architecture: Architecture): string[] {
  const buffer = /\.(running_mean|running_var|num_batches_tracked|weight_u|weight_v|weight_sigma)$/;
  return tensorsOf(architecture).flatMap(({ name }) => (buffer.test(name) ? [] : [name]));
}

/** Number of elements of all parameters and buffers. */
export function countElements(architecture: Architecture): number {
  return tensorsOf(architecture).reduce((sum, { shape }) => sum + elementsOf(shape), 0);
}

export function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
