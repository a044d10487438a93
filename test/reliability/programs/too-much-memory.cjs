// Asks for more than any memory: class statistics, a covariance, and a covariance while a network trains. Prints the codes of the errors, and
// that the training and statistics of a usual size work after it.
const { ClassStatistics, linalg } = require("../../../dist/index.js");
const { network, data, useOneThread } = require("./tiny-network.cjs");

const codeOf = (call) =>
  Promise.resolve()
    .then(call)
    .then(
      () => "no error",
      (error) => error.code,
    );

// [2, 2^18] numbers whose covariance has 2^36: 512 GiB.
const wide = { data: new Float64Array(2 ** 19).map((_, i) => i % 7), shape: [2, 2 ** 18] };

async function main() {
  await useOneThread();
  const found = {};
  found.constructor = await codeOf(() => new ClassStatistics({ numClasses: 2 ** 15, featureDim: 2 ** 20, scatter: "diagonal" }));
  found["compute thread"] = await codeOf(() => linalg.covariance(wide));
  const model = await network();
  const training = model.fit(data(256), { epochs: 3, batchSize: 16 });
  found["beside training"] = await codeOf(() => linalg.covariance(wide));
  found.trained = (await training).length;
  const statistics = new ClassStatistics({ numClasses: 1, featureDim: 2 });
  await statistics.update({ data: new Float64Array(2), shape: [1, 2] }, [0]);
  found.after = (await statistics.counts())[0];
  console.log(JSON.stringify(found));
}

main();
