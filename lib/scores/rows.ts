// Computes, natively on the compute thread, scores that depend on one row of logits or features alone.

import { Scope } from "../core/scope";
import { callNative, runNative } from "../native/call";
import { native, type NativeRowQuantity } from "../native/surface";
import { Tensor } from "../native/tensor";

/**
 * Computes one float64 number per row of a matrix [N, columns], float32 or float64.
 *
 * @param name - what messages call the matrix
 * @param quantity - what to compute
 * @param options.temperature - divisor of the logits in "max-softmax", "entropy" (which is the negative entropy) and "energy". Default 1
 * @throws ERR_NON_FINITE naming a row with NaN or infinity; ERR_RANGE naming a row whose result is beyond float64; ERR_DTYPE for another dtype;
 *   ERR_SHAPE for anything but a matrix with columns; ERR_DISPOSED for a tensor that has been disposed; ERR_ABORTED after an abort
 */
export async function scoreRows(
  matrix: Tensor,
  name: string,
  quantity: NativeRowQuantity,
  { temperature = 1, signal }: { temperature?: number; signal?: AbortSignal | undefined } = {},
): Promise<Float64Array> {
  const handle = Tensor.handle(matrix, name);
  return Scope.run(async (scope) => {
    const scores = scope.own(await runNative(signal, (control) => native().rowScores(control, handle, { quantity, temperature, name })));
    return callNative(() => scores.toTypedArray() as Float64Array);
  });
}
