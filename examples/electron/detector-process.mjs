// The detector's process (Electron's utilityProcess): decodes and computes. If an image or memory brings it down, the window stays.

import { Detector, isLibtorchOodError } from "libtorch-ood";

/** @type {Promise<Detector> | undefined} */
let loading;

function detector() {
  const file = process.env.DETECTOR_FILE ?? "";
  loading ??= Detector.load(file).catch((error) => {
    loading = undefined; // the next question tries again: what was missing may be there
    throw error;
  });
  return loading;
}

/**
 * @param {{ task: "about" | "check", image?: Uint8Array }} question
 * @returns {Promise<unknown>}
 */
async function answer({ task, image }) {
  const { classNames } = await detector();
  if (task === "about") return { classNames };
  const [verdict] = await (await detector()).predict(/** @type {Uint8Array} */ (image));
  return verdict;
}

process.parentPort.on("message", async ({ data: { id, ...question } }) => {
  try {
    process.parentPort.postMessage({ id, value: await answer(question) });
  } catch (error) {
    const { message } = /** @type {Error} */ (error);
    process.parentPort.postMessage({ id, error: { code: isLibtorchOodError(error) ? error.code : "INTERNAL", message } });
  }
});
