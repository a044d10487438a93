// Data sets as a command line names them, and labels in the numbering of a network.

import { mkdirSync } from "node:fs";
import { Dataset } from "../../lib";
import { dataSpec, setName } from "../../lib/cli/data-sets";
import { labelsAmong } from "../../lib/data/class-labels";
import { temporaryDirectory } from "../support/temporary-directory";

const directory = temporaryDirectory();

test("NAME=DATA names a set, and a path that exists is a path", () => {
  const [plain, odd] = [directory.path("photos"), directory.path("a=b")];
  mkdirSync(plain);
  mkdirSync(odd);
  const found = (text: string) => {
    const { label, name, path, split } = dataSpec(text);
    return [label, name, path, split];
  };
  expect(found(plain)).toEqual([undefined, "folder", plain, undefined]);
  expect(found(odd)).toEqual([undefined, "folder", odd, undefined]);
  expect(found(`Textures=${plain}`)).toEqual(["Textures", "folder", plain, undefined]);
  expect(found(`A=${odd}`)).toEqual(["A", "folder", odd, undefined]);
  expect(found("CIFAR-10=cifar10:data#test")).toEqual(["CIFAR-10", "cifar10", "data", "test"]);
  expect(found("Tiny ImageNet=tiny-imagenet:data")).toEqual(["Tiny ImageNet", "tiny-imagenet", "data", undefined]);
  expect(found("cifar10:a=b")).toEqual([undefined, "cifar10", "a=b", undefined]);
  for (const wrong of ["x=", "=x", "Textures=nowhere", "tinyimagenet:data"]) expect(() => dataSpec(wrong)).toThrow();
});

test("a set goes by the name that was given, else by its own without the part", () => {
  const data = Dataset.fromArrays({ images: new Uint8Array(1), labels: [0], shape: [1, 1, 1], name: "CIFAR-100", part: "test" });
  expect([setName(dataSpec("cifar100:x"), data), setName(dataSpec("my test=cifar100:x"), data)]).toEqual(["CIFAR-100", "my test"]);
});

test("labels are matched to a network's classes by name, or there are none", () => {
  const data = Dataset.fromArrays({ images: new Uint8Array(4), labels: [0, 1, 1, 0], shape: [1, 1, 1], classNames: ["cat", "dog"] });
  expect(labelsAmong(data, undefined)).toEqual(Int32Array.of(0, 1, 1, 0));
  expect(labelsAmong(data, ["cat", "dog"])).toEqual(Int32Array.of(0, 1, 1, 0));
  expect(labelsAmong(data, ["dog", "bird", "cat"])).toEqual(Int32Array.of(2, 0, 0, 2));
  expect(labelsAmong(data, ["cat", "bird"])).toEqual({ missing: "dog" });
});
