// Options are own properties, read once; a message is short whatever was found; abort signals are listened to once.

import { getEventListeners } from "node:events";
import { isLibtorchOodError, LibtorchOodError, linalg, metrics, ResNet } from "../../lib";
import { describe as shown, optionsObject } from "../../lib/core/checks";
import { parseJson } from "../../lib/formats/json";
import { onAbort } from "../../lib/native/call";
import { resolveFitOptions } from "../../lib/models/resnet/fit-options";
import { libraryFailureOf, tinyData, tinyNetwork, useOneThread, weightBytes } from "../models/resnet/tiny-network";

useOneThread();

describe("options", () => {
  const polluted = Object.prototype as Record<string, unknown>;
  const pollution = {
    seed: 7,
    augmentation: "crop-flip",
    epochs: 9,
    width: 2,
    positive: "out",
    ddof: 5,
    rank: 1,
    preset: "seed-paper",
    signal: 3,
  };
  const names = Object.keys(pollution);
  afterEach(() => names.forEach((name) => delete polluted[name]));

  it("are not what others put on Object.prototype", async () => {
    const plain = await weightBytes(await tinyNetwork());
    const fit = resolveFitOptions({ epochs: 2 }, 18);
    const lists = [
      [3, 2, 1],
      [1, 2],
    ] as const;
    const aupr = metrics.aupr(...lists);
    const matrix = { data: Float64Array.of(1, 2, 3, 5), shape: [2, 2] };
    const covariance = (await linalg.covariance(matrix)).toArray();
    Object.assign(polluted, pollution);
    expect(resolveFitOptions({ epochs: 2 }, 18)).toEqual(fit);
    expect(metrics.aupr(...lists)).toBe(aupr);
    expect((await linalg.covariance(matrix)).toArray()).toEqual(covariance);
    const model = await tinyNetwork();
    names.forEach((name) => delete polluted[name]);
    expect(await weightBytes(model)).toEqual(plain);
    expect(model.preset).toBeUndefined();
  });

  it("are read once", () => {
    let reads = 0;
    const options = Object.defineProperty({}, "a", { enumerable: true, get: () => ++reads });
    const taken = optionsObject<{ a?: number; b?: number }>(options, "options", ["a", "b"]);
    expect([taken.a, taken.a, taken.b, reads]).toEqual([1, 1, undefined, 1]);
    expect({ ...taken }).toEqual({ a: 1, b: undefined });
  });
});

test.each([
  ["a text", "x".repeat(1e6)],
  ["a bigint", 10n ** 5000n],
  ["the name of a class of an object from a file", JSON.parse(`{"constructor":{"name":"${"x".repeat(1e6)}"}}`)],
  ["deep arrays", JSON.parse("[".repeat(1e5) + "]".repeat(1e5))],
])("what was found is shown shortly: %s", (_, value) => {
  expect(shown(value).length).toBeLessThan(100);
});

test("no message is long", () => {
  const { message } = new LibtorchOodError("ERR_CORRUPT_FILE", `begin ${"x".repeat(1e6)} end`);
  expect(message.length).toBeLessThanOrEqual(1000);
  expect(message).toMatch(/^begin x+ … x+ end$/);
});

describe("revoked proxies", () => {
  const revoked = <T extends object>(target: T): T => {
    const { proxy, revoke } = Proxy.revocable(target, {});
    revoke();
    return proxy;
  };

  test("are named, whatever they stood for", () => {
    expect([shown(revoked({})), shown(revoked([]))]).toEqual(["a revoked proxy", "a revoked proxy"]);
    expect(() => optionsObject(revoked({}), "options", [])).toThrow(
      expect.objectContaining({ code: "ERR_OPTION", message: "options: expected an options object, found a revoked proxy" }),
    );
  });
});

describe("JSON of a file", () => {
  it("is refused where it is deep or long, before it is parsed", () => {
    expect(() => parseJson("[".repeat(65) + "]".repeat(65))).toThrow(/more than 64 levels/);
    expect(() => parseJson('{"a":'.repeat(1e6))).toThrow(/more than 64 levels/);
    expect(() => parseJson(" ".repeat((1 << 25) + 1))).toThrow(/characters, more than/);
  });

  it("is what JSON.parse gives otherwise, whatever stands in texts", () => {
    for (const value of [[["[[[["]], { "a\\": '"[{', "\\\\": [1, { b: '\\"' }] }, "]".repeat(200), [..."[[[[".repeat(50)], null]) {
      expect(parseJson(JSON.stringify(value))).toEqual(value);
    }
    expect(parseJson("[".repeat(64) + "]".repeat(64))).toHaveLength(1);
    for (const wrong of ["", "[", '"abc', '"abc\\"', "{]"]) expect(() => parseJson(wrong)).toThrow(SyntaxError);
  });
});

describe("abort signals", () => {
  it("many calls with one signal: one listener, no warning, each is aborted, and none is left", async () => {
    const emitted = jest.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    const controller = new AbortController();
    const { signal } = controller;
    const model = await tinyNetwork();
    const calls = Array.from({ length: 30 }, () => model.extract(tinyData(64), { signal }));
    expect(getEventListeners(signal, "abort").length).toBeLessThanOrEqual(1);
    await calls[0];
    controller.abort();
    const ended = await Promise.allSettled(calls);
    const reasons = ended.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
    expect(reasons.length).toBeGreaterThan(0);
    for (const reason of reasons) expect(isLibtorchOodError(reason) && reason.code).toBe("ERR_ABORTED");
    expect(getEventListeners(signal, "abort")).toEqual([]);
    expect(emitted).not.toHaveBeenCalled();
    emitted.mockRestore();
  });

  it("a callback that has been forgotten is not called; the others are", () => {
    const controller = new AbortController();
    const heard: string[] = [];
    const forget = onAbort(controller.signal, () => heard.push("first"));
    onAbort(controller.signal, () => heard.push("second"));
    forget();
    forget();
    controller.abort();
    expect(heard).toEqual(["second"]);
  });

  it("a signal without removeEventListener is refused before anything is computed", async () => {
    const signal = { aborted: false, addEventListener: () => undefined } as unknown as AbortSignal;
    const model: ResNet = await tinyNetwork();
    const error = await libraryFailureOf(() => model.extract(tinyData(8), { signal }));
    expect(error).toMatchObject({ code: "ERR_OPTION", message: "signal: expected an AbortSignal, found an object (Object)" });
  });
});
