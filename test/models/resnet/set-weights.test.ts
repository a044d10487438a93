// setWeights with weights of elsewhere: all that does not fit is said at once, counters come in any form, and a file's tensors go in as they are read.

import { files, ResNet, Tensor, type ArrayWithShape } from "../../../lib";
import { temporaryDirectory } from "../../support/temporary-directory";
import { libraryFailureOf, tinyArchitecture, tinyNetwork, useOneThread, weightBytes } from "./tiny-network";

useOneThread();
const folder = temporaryDirectory();
type Weights = Map<string, Tensor | ArrayWithShape | number | bigint>;

/** As torchvision names and has them: no spectral norm, projections. */
const plain = { ...tinyArchitecture, spectralNorm: false, avgPoolShortcut: false } as const;

test("every tensor that is missing, surplus or of another shape is named, with what renames them", async () => {
  const model = await ResNet.create(plain);
  const weights: Weights = new Map(
    [...(await model.weights())].map(([name, tensor]) => [name.replace(".shortcut.", ".downsample."), tensor]),
  );
  weights.set("conv1.weight", Tensor.from(new Float32Array(8 * 49), [8, 1, 7, 7]));
  const error = await libraryFailureOf(() => model.setWeights(weights));
  expect(error.code).toBe("ERR_SHAPE");
  expect(error.message).toMatch(
    /18 missing: layer2\.0\.shortcut\.0\.weight, .*, and 12 more; 18 not of this network: layer2\.0\.downsample/,
  );
  expect(error.message).toMatch(/1 of another shape: conv1\.weight \(expected \[8, 1, 3, 3\], found \[8, 1, 7, 7\]\)/);
  expect(error.message).toMatch(/torchvision's "downsample" is "shortcut" here/);
  expect(error.message.length).toBeLessThan(1000);
});

test.each([
  ["DataParallel", (name: string) => `module.${name}`, /remove the prefix "module\."/],
  ["no spectral norm", (name: string) => name.replace("weight_orig", "weight"), /create it with spectralNorm: false/],
])("advice for %s", async (_, rename, expected) => {
  const model = await tinyNetwork();
  const weights: Weights = new Map([...(await model.weights())].map(([name, tensor]) => [rename(name), tensor]));
  expect((await libraryFailureOf(() => model.setWeights(weights))).message).toMatch(expected);
});

describe("num_batches_tracked", () => {
  const name = "bn1.num_batches_tracked";
  test.each<[string, Tensor | ArrayWithShape | number | bigint]>([
    ["a number", 7],
    ["a bigint", 7n],
    ["int32 without dimensions", { data: Int32Array.of(7), shape: [] }],
    ["int64 [1]", Tensor.from(BigInt64Array.of(7n))],
    ["float64, as toValues gives it", { data: Float64Array.of(7), shape: [] }],
  ])("%s", async (_, value) => {
    const model = await tinyNetwork();
    await model.setWeights(new Map<string, Tensor | ArrayWithShape | number | bigint>([...(await model.weights()), [name, value]]));
    expect((await model.weights()).get(name)?.toArray()).toEqual(BigInt64Array.of(7n));
  });

  test.each<[string, Tensor | ArrayWithShape | number | bigint]>([
    ["a fraction", 0.5],
    ["NaN", { data: Float32Array.of(NaN), shape: [] }],
    ["negative", -1n],
    ["two", { data: Int32Array.of(1, 2), shape: [2] }],
  ])("%s is refused", async (_, value) => {
    const model = await tinyNetwork();
    const weights = new Map<string, Tensor | ArrayWithShape | number | bigint>([...(await model.weights()), [name, value]]);
    expect(await libraryFailureOf(() => model.setWeights(weights))).toMatchObject({ code: "ERR_SHAPE" });
  });
});

test("files.readSafetensors and files.toValues give what setWeights takes", async () => {
  const model = await tinyNetwork({ seed: 5 });
  const file = folder.path("network.safetensors");
  await model.save(file);
  const { tensors, metadata } = await files.readSafetensors(file);
  expect(metadata.get("format")).toBe("libtorch-ood/resnet");
  const other = await tinyNetwork({ seed: 6 });
  const named = [...tensors].map(([name, { dtype, shape, data }]) => [name, { data: files.toValues(dtype, data), shape }] as const);
  await other.setWeights(new Map(named as [string, ArrayWithShape][]));
  expect(await weightBytes(other)).toEqual(await weightBytes(model));
});
