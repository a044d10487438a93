// Fitted numbers go to a file in pieces, so that neither the event loop nor memory feels how many there are.

import type { NativeNamedTensor, NativeTensor } from "../../lib/native/surface";
import { readStateFile, writeStateFile } from "../../lib/formats/state-file";
import { Tensor } from "../../lib/native/tensor";
import { uniform } from "../models/resnet/closed-formula";
import { temporaryDirectory } from "../support/temporary-directory";

const directory = temporaryDirectory();

/** The tensor, with the number of values of each copy that is made of it or of a part. */
function watched(tensor: NativeTensor, copies: number[]): NativeTensor {
  return {
    shape: tensor.shape,
    dtype: tensor.dtype,
    disposed: false,
    toTypedArray: () => {
      const values = tensor.toTypedArray();
      copies.push(values.length);
      return values;
    },
    write: (offset, data) => tensor.write(offset, data),
    slice: (start, end) => watched(tensor.slice(start, end), copies),
    dispose: () => tensor.dispose(),
  };
}

test.each([
  ["a vector", [1_500_000]],
  ["rows that do not divide a piece", [1501, 999]],
  ["a row that is longer than a piece", [2, 750_000]],
])("%s of 12 MB: no copy of more than 4 MiB unless a row is, and every bit comes back", async (_, shape) => {
  const values = uniform("state", 1_499_499).map((value) => 1e3 * value);
  const data = Float64Array.from(
    { length: shape.reduce((product, size) => product * size, 1) },
    (__, i) => values[i % values.length] as number,
  );
  const handle = Tensor.handle(Tensor.from(data, shape), "data");
  const small = Tensor.handle(Tensor.from(Float64Array.of(1, 2, 3)), "small");
  const copies: number[] = [];
  const state: NativeNamedTensor[] = [
    { name: "large", tensor: watched(handle, copies) },
    { name: "small", tensor: small },
  ];
  await writeStateFile(directory.path("state.safetensors"), "test", { of: shape }, state);
  expect(copies.length).toBeGreaterThan(1);
  expect(Math.max(...copies)).toBeLessThanOrEqual(Math.max((4 << 20) / 8, shape[1] ?? 0));
  const { description, state: back } = await readStateFile(directory.path("state.safetensors"), "test");
  expect(description).toEqual({ of: shape });
  expect(back.map(({ name, tensor }) => [name, tensor.shape])).toEqual([
    ["large", shape],
    ["small", [3]],
  ]);
  expect(Buffer.compare(Buffer.from((back[0] as NativeNamedTensor).tensor.toTypedArray().buffer), Buffer.from(data.buffer))).toBe(0);
});
