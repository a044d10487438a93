// Asks for class statistics larger than any memory, prints the code of the error, and that statistics of a usual size work after it.
const { ClassStatistics } = require("../../../dist/index.js");

async function main() {
  let huge = "no error";
  try {
    new ClassStatistics({ numClasses: 2 ** 15, featureDim: 2 ** 20, scatter: "diagonal" });
  } catch (error) {
    huge = error.code;
  }
  const statistics = new ClassStatistics({ numClasses: 1, featureDim: 2 });
  await statistics.update({ data: new Float64Array(2), shape: [1, 2] }, [0]);
  console.log(JSON.stringify({ huge, after: (await statistics.counts())[0] }));
}

main();
