// A network and data so small that a batch takes milliseconds, for tests of behaviour, and how to see an error as its caller would.

import { Dataset, device, LibtorchOodError, ResNet, type ResNetOptions } from "../../../lib";
import { labels, words } from "./closed-formula";

export const tinyArchitecture = { numClasses: 3, inChannels: 1, imageSize: 8, width: 0.125 } as const;

/** Two threads only get in each other's way on such a network, the more so on a busy machine. */
export const useOneThread = () => beforeAll(() => device.setThreads(1));

export const tinyNetwork = (options: Partial<ResNetOptions> = {}): Promise<ResNet> =>
  ResNet.create({ ...tinyArchitecture, normalization: { mean: [0.4], std: [0.3] }, ...options });

/** Images whose upper, middle or lower part is bright, by class, under noise: a tiny network learns them in a few epochs. */
export function tinyData(count: number, name = "tiny"): Dataset {
  const noise = words(name, count * 64);
  const classes = labels(count, 3);
  const images = Uint8Array.from(noise, (word, i) => {
    const row = Math.floor((i % 64) / 8);
    const bright = Math.floor(row / 3) === classes[Math.floor(i / 64)];
    return (word >>> 25) + (bright ? 110 : 0);
  });
  return Dataset.fromArrays({ images, labels: classes, shape: [1, 8, 8], normalization: { mean: [0.4], std: [0.3] } });
}

/** Every parameter and buffer as bytes, for comparison bit for bit. */
export async function weightBytes(model: ResNet): Promise<Record<string, string>> {
  const bytes: Record<string, string> = {};
  for (const [name, tensor] of await model.weights()) {
    const { buffer, byteOffset, byteLength } = tensor.toArray();
    bytes[name] = Buffer.from(buffer, byteOffset, byteLength).toString("base64");
    tensor.dispose();
  }
  return bytes;
}

/** What `call` throws or rejects with; fails where it does neither. */
export async function failureOf(call: () => unknown): Promise<unknown> {
  try {
    await call();
  } catch (error) {
    return error;
  }
  throw new Error("the call succeeded");
}

/** {@link failureOf}, which must be a LibtorchOodError. */
export async function libraryFailureOf(call: () => unknown): Promise<LibtorchOodError> {
  const error = await failureOf(call);
  if (!(error instanceof LibtorchOodError)) throw error;
  return error;
}
