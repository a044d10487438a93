// Whether what a finished call held can be collected: its promise, its callbacks, its result, its network. With --expose-gc.
const { network, data, useOneThread } = require("./tiny-network.cjs");

async function main() {
  await useOneThread();
  const watched = {};
  const watch = (name, value) => (watched[name] = new WeakRef(value));
  await (async () => {
    const model = await network();
    watch("network", model);
    const onEpoch = () => undefined;
    watch("callback", onEpoch);
    const fitted = model.fit(data(32), { epochs: 1, onEpoch });
    watch("promise of fit", fitted);
    await fitted;
    const extracted = model.extract(data(32));
    watch("promise of extract", extracted);
    watch("features", (await extracted).features);
    const controller = new AbortController();
    const aborted = model.fit(data(256), { epochs: 1000, signal: controller.signal });
    watch("aborted promise", aborted);
    setTimeout(() => controller.abort(), 20);
    await aborted.catch(() => undefined);
  })();
  for (let i = 0; i < 10; i++) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  console.log(JSON.stringify(Object.fromEntries(Object.entries(watched).map(([name, ref]) => [name, ref.deref() === undefined]))));
}

main();
