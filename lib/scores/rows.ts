// Scores that a row's own numbers give, of logits or of features: made natively on the compute thread.

import { Scope } from "../core/scope";
import { callNative, runNative } from "../native/call";
import { native, type NativeRowQuantity } from "../native/surface";
import { Tensor } from "../native/tensor";

/**
 * What each row of a matrix [N, columns], float32 or float64, comes to, in float64.
 *
 * @param options.temperature - divides the logits in "max-softmax", "entropy" (which is the negative one) and "energy". Default 1
 * @throws ERR_NON_FINITE naming the row, ERR_RANGE naming one whose result is beyond float64, ERR_DTYPE, ERR_SHAPE, ERR_DISPOSED, ERR_ABORTED
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
