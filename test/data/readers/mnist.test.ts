import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { computeNormalization, fashionMnist, kmnist, mnist } from "../../../lib/data";
import { temporaryDirectory } from "../../support/temporary-directory";

const directory = temporaryDirectory();
const shipped = join(__dirname, "../../../examples/data");

function imagesFile(count: number, size = 28): Buffer {
  const bytes = Buffer.alloc(16 + count * size * size, 7);
  [0x0803, count, size, size].forEach((value, i) => bytes.writeUInt32BE(value, 4 * i));
  return bytes;
}

function labelsFile(labels: number[]): Buffer {
  const bytes = Buffer.alloc(8);
  [0x0801, labels.length].forEach((value, i) => bytes.writeUInt32BE(value, 4 * i));
  return Buffer.concat([bytes, Buffer.from(labels)]);
}

/** A new directory with these files. */
function folder(name: string, files: Record<string, Uint8Array>): string {
  const root = directory.path(name);
  mkdirSync(root, { recursive: true });
  for (const [file, content] of Object.entries(files)) writeFileSync(join(root, file), content);
  return root;
}

const test2 = { "t10k-images-idx3-ubyte": imagesFile(2), "t10k-labels-idx1-ubyte": labelsFile([3, 9]) };
const train3 = { "train-images-idx3-ubyte.gz": gzipSync(imagesFile(3)), "train-labels-idx1-ubyte.gz": gzipSync(labelsFile([0, 1, 2])) };

describe("the shipped images", () => {
  test("6,000 and 1,000 digits, as they lie in the files", async () => {
    const { train, test: held } = await mnist(shipped, { prefix: "mnist-" });
    expect(train).toMatchObject({ name: "MNIST train", length: 6000, shape: [1, 28, 28] });
    expect(held).toMatchObject({ name: "MNIST test", length: 1000 });
    expect(train.classNames).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    expect(Array.from(train.labels.subarray(0, 10))).toEqual([5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
    expect(Array.from(held.labels.subarray(0, 10))).toEqual([7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
    const file = gunzipSync(readFileSync(join(shipped, "mnist-t10k-images-idx3-ubyte.gz")));
    expect(Buffer.from(held.images).equals(file.subarray(16))).toBe(true);
  });

  test("one folder of several sets needs no prefix: each finds its own names", async () => {
    const [digits, clothes] = [await mnist(shipped, { splits: ["test"] }), await fashionMnist(shipped, { splits: ["test"] })];
    expect(digits.test.images).toEqual((await mnist(shipped, { prefix: "mnist-", splits: ["test"] })).test.images);
    expect(clothes.test.images).toEqual((await fashionMnist(shipped, { prefix: "fashion-", splits: ["test"] })).test.images);
    await expect(mnist(shipped, { prefix: "", splits: ["test"] })).rejects.toMatchObject({ code: "ERR_IO" });
  });

  test("MNIST's constants are the mean and std of its images, to what 6,000 of 60,000 allow", async () => {
    const { train } = await mnist(shipped, { prefix: "mnist-", splits: ["train"] });
    const { mean, std } = computeNormalization(train);
    expect(Math.abs((mean[0] as number) - (train.normalization?.mean[0] as number))).toBeLessThan(0.002);
    expect(Math.abs((std[0] as number) - (train.normalization?.std[0] as number))).toBeLessThan(0.002);
  });

  test("1,000 pieces of clothing; asking for the training images too names the file that is missing", async () => {
    const { test: clothes } = await fashionMnist(shipped, { prefix: "fashion-", splits: ["test"] });
    expect(clothes).toMatchObject({ name: "Fashion-MNIST test", length: 1000, normalization: { mean: [0.286], std: [0.353] } });
    expect(Array.from(clothes.labels.subarray(0, 5)).map((label) => clothes.classNames[label])).toEqual([
      "Ankle boot",
      "Pullover",
      "Trouser",
      "Trouser",
      "Shirt",
    ]);
    const error = (await fashionMnist(shipped, { prefix: "fashion-" }).catch((reason: unknown) => reason)) as Error;
    expect(error).toMatchObject({ code: "ERR_IO" });
    expect(error.message).toContain("cannot find the images of the Fashion-MNIST train split");
    expect(error.message).toContain("fashion-train-images-idx3-ubyte.gz");
    expect(error.message).toContain(shipped);
  });
});

describe("where the files are looked for", () => {
  test("the directory itself, plain or gzip, each by itself", async () => {
    const { train, test: held } = await mnist(folder("plain", { ...test2, ...train3 }));
    expect([train.length, held.length]).toEqual([3, 2]);
  });

  test.each([
    ["MNIST", mnist],
    ["FashionMNIST", fashionMnist],
    ["KMNIST", kmnist],
  ] as const)("torchvision's %s/raw", async (name, read) => {
    folder(`torchvision/${name}/raw`, { ...test2, ...train3 });
    expect((await read(directory.path("torchvision"))).train.length).toBe(3);
  });

  test.each([
    ["mnist", mnist, 3],
    ["fashion-mnist", fashionMnist, 4],
    ["kmnist", kmnist, 5],
  ] as const)("%s beside other data sets", async (name, read, count) => {
    folder(`beside/${name}`, {
      "t10k-images-idx3-ubyte": imagesFile(count),
      "t10k-labels-idx1-ubyte": labelsFile(new Array<number>(count).fill(1)),
    });
    expect((await read(directory.path("beside"), { splits: ["test"] })).test.length).toBe(count);
  });

  test("KMNIST's classes are the ten hiragana, as torchvision names them", async () => {
    const { test: held } = await kmnist(folder("hiragana", test2), { splits: ["test"] });
    expect(held).toMatchObject({ name: "KMNIST test", length: 2, shape: [1, 28, 28], normalization: undefined });
    expect(held.classNames).toEqual(["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]);
  });

  test("only the splits asked for are read", async () => {
    const result = await mnist(folder("only test", test2), { splits: ["test"] });
    expect(Object.keys(result)).toEqual(["test"]);
    // @ts-expect-error the type has no other split either
    expect(result.train).toBeUndefined();
  });

  test("nothing there: ERR_IO; wrong options: ERR_OPTION", async () => {
    await expect(mnist(directory.path("absent"))).rejects.toMatchObject({ code: "ERR_IO" });
    await expect(mnist(directory.put("a file", ""))).rejects.toMatchObject({ code: "ERR_IO" });
    await expect(mnist(shipped, { prefx: "mnist-" } as never)).rejects.toMatchObject({ code: "ERR_OPTION" });
    await expect(mnist(shipped, { splits: ["validation" as "test"] })).rejects.toMatchObject({ code: "ERR_OPTION" });
    await expect(mnist(shipped, { splits: [] })).rejects.toMatchObject({ code: "ERR_OPTION" });
    await expect(mnist(shipped, { splits: ["test", "test"] })).rejects.toMatchObject({ code: "ERR_OPTION" });
    await expect(mnist(3 as never)).rejects.toMatchObject({ code: "ERR_OPTION" });
  });
});

describe("files that do not fit", () => {
  test.each<[string, Record<string, Uint8Array>, string]>([
    [
      "fewer labels than images",
      { "t10k-labels-idx1-ubyte": labelsFile([1]) },
      "t10k-labels-idx1-ubyte: expected 2 labels, one per image of",
    ],
    [
      "a label that is no digit",
      { "t10k-labels-idx1-ubyte": labelsFile([1, 10]) },
      "t10k-labels-idx1-ubyte: expected labels from 0 to 9, found 10 for image 1",
    ],
    [
      "images of another size",
      { "t10k-images-idx3-ubyte": imagesFile(2, 32) },
      "t10k-images-idx3-ubyte: expected 28×28 images of MNIST, found 32×32",
    ],
    ["no images", { "t10k-images-idx3-ubyte": imagesFile(0) }, "expected at least one image, found none"],
    [
      "labels in the place of the images",
      { "t10k-images-idx3-ubyte": labelsFile([1, 2, 3, 4, 5, 6, 7, 8]) },
      "expected an IDX file with 3 dimensions",
    ],
    ["images in the place of the labels", { "t10k-labels-idx1-ubyte": imagesFile(2) }, "expected an IDX file with 1 dimension"],
  ])("%s", async (name, files, message) => {
    const error = (await mnist(folder(name, { ...test2, ...files }), { splits: ["test"] }).catch((reason: unknown) => reason)) as Error;
    expect(error).toMatchObject({ code: "ERR_CORRUPT_FILE" });
    expect(error.message).toContain(message);
  });

  test("labels that are missing", async () => {
    const path = folder("no labels", { "t10k-images-idx3-ubyte": imagesFile(2) });
    await expect(mnist(path, { splits: ["test"] })).rejects.toMatchObject({
      code: "ERR_IO",
      message: expect.stringContaining("cannot find the labels of the MNIST test split") as string,
    });
  });
});
