// ViM: the logits against a virtual one that stands for what the training features' principal subspace does not explain.

import { integer, optionalSignal, optionsObject, string } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { native, type NativeVirtualLogit } from "../native/surface";
import { callNative, runNative } from "../native/call";
import { Tensor } from "../native/tensor";
import {
  fitOutputs,
  readOutputs,
  type ModelOutputs,
  type Score,
  type ScoreCallOptions,
  type ScoreState,
  type TrainingOutputs,
} from "./score";
import { damaged, restoring, storedInteger } from "./stored";

export interface VimOptions {
  /** D, the dimensions of the principal subspace, 1 to d − 1. Default as in the paper: 1000 for d from 2048 on, 512 from 768 on, else ⌊d/2⌋. */
  dimension?: number;
  /** `"cpu"` (default), `"cuda"` or `"cuda:N"`. */
  device?: string;
  signal?: AbortSignal;
}

/** @internal */
export const vimOptionKeys = ["dimension", "device", "signal"] as const;

/**
 * logsumexp(l) − α·‖R ᵀ(z − o)‖₂, Wang et al. 2022: l the logits, o = −W⁺b the point whose logits are zero, R an orthonormal basis of what is
 * orthogonal to the D leading right singular vectors of the training features less o (not centred), α the mean largest logit of training inputs over
 * the mean ‖Rᵀ(z − o)‖₂. The singular vectors come from the features themselves, not from their Gram matrix, which loses half the digits.
 */
export class Vim implements Score {
  readonly name = "vim";
  readonly needs = ["features", "logits"] as const;
  readonly warnings: readonly string[];
  readonly #native: NativeVirtualLogit;

  private constructor(
    handle: NativeVirtualLogit,
    /** d */
    readonly featureDim: number,
    /** D */
    readonly dimension: number,
    /** α: how much the residual counts. */
    readonly alpha: number,
  ) {
    this.#native = handle;
    this.warnings =
      alpha > 0
        ? []
        : [`alpha is ${alpha}, as the largest logits of training inputs are not positive on average: residuals count the wrong way`];
  }

  /** @internal */
  static async fit(training: TrainingOutputs, options: VimOptions = {}): Promise<Vim> {
    const { dimension, device = "cpu", signal } = optionsObject(options, "options", vimOptionKeys);
    if (dimension !== undefined) integer(dimension, "dimension", 1);
    optionalSignal(signal, "signal");
    const handle = callNative(() => new (native().VirtualLogit)(string(device, "device")));
    return fitOutputs("vim", training, ["features", "logits", "weight"], async (given) => {
      const featureDim = given.features.shape[1] as number;
      if (featureDim < 2) throw new LibtorchOodError("ERR_SHAPE", `features: expected at least 2 columns, found ${featureDim}`);
      const kept = dimension ?? defaultDimension(featureDim);
      if (kept >= featureDim) {
        throw new LibtorchOodError(
          "ERR_RANGE",
          `dimension: expected 1 to ${featureDim - 1}, fewer than features has columns, found ${kept}`,
        );
      }
      const [features, logits, weight] = (["features", "logits", "weight"] as const).map((key) => Tensor.handle(given[key], key));
      const bias = given.bias && Tensor.handle(given.bias, "bias");
      const alpha = await runNative(signal, (control) =>
        handle.fit(control, features as never, logits as never, weight as never, bias, kept),
      );
      return new Vim(handle, featureDim, kept, alpha);
    });
  }

  /** @internal */
  static async restore({ description, tensors }: ScoreState, device: string, where: string): Promise<Vim> {
    const featureDim = storedInteger(description, "featureDim", 2, where);
    const dimension = storedInteger(description, "dimension", 1, where);
    const handle = callNative(() => new (native().VirtualLogit)(device));
    await restoring(where, () => runNative(undefined, (control) => handle.loadState(control, featureDim, dimension, tensors)));
    const alpha = tensors.find(({ name }) => name === "alpha")?.tensor.toTypedArray()[0];
    if (typeof alpha !== "number") damaged(where, "alpha", "a number", alpha);
    return new Vim(handle, featureDim, dimension, alpha);
  }

  async score(outputs: ModelOutputs, options: ScoreCallOptions = {}): Promise<Float64Array> {
    return readOutputs(this, outputs, options, async (given, signal) => {
      const [features, logits] = [Tensor.handle(given.features, "features"), Tensor.handle(given.logits, "logits")];
      const scores = await runNative(signal, (control) => this.#native.evaluate(control, features, logits));
      return scores.toTypedArray() as Float64Array;
    });
  }

  async state(): Promise<ScoreState> {
    const tensors = await runNative(undefined, (control) => this.#native.state(control));
    return { description: { featureDim: this.featureDim, dimension: this.dimension }, tensors };
  }

  dispose(): void {
    this.#native.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function defaultDimension(featureDim: number): number {
  return featureDim >= 2048 ? 1000 : featureDim >= 768 ? 512 : Math.floor(featureDim / 2);
}
