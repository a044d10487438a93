// The frames that pass between a session and its process: a JSON message and the bytes that belong to it.

/** Bytes before a frame: the length of the JSON as uint32, then that of the payload as float64, which holds more than 4 GiB. */
export const prefixBytes = 12;

/** A tensor in a payload, at its place in the order of the message. */
export interface FramedTensor {
  readonly name: string;
  readonly type: string;
  readonly dims: readonly number[];
  readonly bytes: number;
}

/** What onnxruntime says of an input or output: dimensions are numbers, or names where any size will do. */
export interface ValueFacts {
  readonly name: string;
  readonly type: string;
  readonly shape: readonly (number | string)[];
}

export type Request =
  | { readonly op: "load"; readonly runtime: string; readonly options: object }
  | {
      readonly op: "run";
      readonly input: string;
      readonly dims: readonly number[];
      /** Floats before the pixels that say what each becomes; 0 where the images are floats themselves. */
      readonly tableLength: number;
      readonly outputs: readonly string[];
    };

export type Reply =
  | { readonly loaded: { readonly inputs: readonly ValueFacts[]; readonly outputs: readonly ValueFacts[] } }
  | { readonly tensors: readonly FramedTensor[] }
  /** `runtime`: that onnxruntime itself cannot be loaded. */
  | { readonly failed: { readonly message: string; readonly code: string | undefined; readonly runtime: boolean } };

/** The bytes before a payload. */
export function frameStart(message: Request | Reply, payloadBytes: number): Buffer {
  const json = Buffer.from(JSON.stringify(message));
  const prefix = Buffer.alloc(prefixBytes);
  prefix.writeUInt32LE(json.length, 0);
  prefix.writeDoubleLE(payloadBytes, 4);
  return Buffer.concat([prefix, json]);
}
