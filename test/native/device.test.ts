// What `device` tells, and the number of compute threads.

import { device, ResNet } from "../../lib";
import { tinyData, tinyNetwork } from "../models/resnet/tiny-network";

test("info", () => {
  const { libtorch, builtFor, cpuCapability, threads, cudaDevices } = device.info();
  expect(libtorch).toMatch(/^2\.\d+\.\d+/);
  expect(builtFor).toMatch(/^2\.\d+\.\d+/);
  expect(cpuCapability).toMatch(/^[A-Z0-9]+$/);
  expect(threads).toBeGreaterThanOrEqual(1);
  expect(cudaDevices).toBeGreaterThanOrEqual(0);
  expect(device.cudaAvailable()).toBe(cudaDevices > 0);
});

test("setThreads: info tells the number, results stay the same to rounding", async () => {
  const model = await tinyNetwork({ seed: 4 });
  const features = async (threads: number) => {
    await device.setThreads(threads);
    expect(device.info().threads).toBe(threads);
    return [...(await model.extract(tinyData(16))).features.toArray()] as number[];
  };
  const one = await features(1);
  const two = await features(2);
  two.forEach((value, i) => expect(Math.abs(value - (one[i] as number))).toBeLessThan(1e-5));
  expect(await features(1)).toEqual(one);
  model.dispose();
});

test("calls made before setThreads are finished before it takes effect", async () => {
  const order: string[] = [];
  await Promise.all([tinyNetwork().then(() => order.push("network")), device.setThreads(1).then(() => order.push("threads"))]);
  expect(order).toEqual(["network", "threads"]);
});

test("a CUDA device that is not there is named, with what there is", async () => {
  const absent = `cuda:${device.info().cudaDevices + 1}`;
  await expect(ResNet.create({ numClasses: 2, device: absent })).rejects.toMatchObject({
    code: "ERR_DEVICE",
    message: expect.stringContaining(`"${absent}"`) as string,
  });
});

test("requireDevice: passes for the CPU, names what is unavailable; resolvePrecision leaves what is stated", async () => {
  expect(device.requireDevice("cpu")).toBeUndefined();
  expect(() => device.requireDevice("cuda:99")).toThrow(expect.objectContaining({ code: "ERR_DEVICE" }) as Error);
  expect(() => device.requireDevice("gpu")).toThrow(expect.objectContaining({ code: "ERR_OPTION" }) as Error);
  expect(device.resolvePrecision("float32", "cuda")).toBe("float32");
  expect(device.resolvePrecision("auto", "cpu")).toBe(device.info().bfloat16 ? "bfloat16" : "float32");
});
