// Serves a detector over HTTP, with requests that come at the same time computed together.
//
//   node examples/server/server.mjs detector.safetensors [--port 8080] [--max-batch 32] [--max-wait 0]
//   curl --data-binary @photo.jpg http://127.0.0.1:8080/score

import { Command } from "commander";
import { Detector, isLibtorchOodError } from "libtorch-ood";
import { Service } from "./service.mjs";
import { wholeNumber } from "./whole-number.mjs";

/** Above it a timer of Node's ends at once. */
const longestTimer = 2 ** 31 - 1;

const program = new Command("server")
  .description(
    "Serve a detector of images: POST /score with the bytes of a PNG, JPEG, WebP, GIF, TIFF or AVIF image. GET /health, /ready, /metrics.",
  )
  .argument("<detector>", "a file that Detector.save or `libtorch-ood fit` wrote")
  .option("--port <n>", "0: any that is free", wholeNumber(0, 65_535), 8080)
  .option("--host <name>", "address to listen on", "127.0.0.1")
  .option("--device <name>", "cpu, cuda or cuda:N", "cpu")
  .option("--model <file>", "TorchScript or ONNX model of a detector whose file does not hold the weights")
  .option("--max-batch <n>", "images in one forward pass", wholeNumber(1), 32)
  .option("--max-wait <ms>", "for which a request waits for company where nothing is computed", wholeNumber(0, longestTimer), 0)
  .option("--max-requests <n>", "accepted at a time; more are told to come back", wholeNumber(1), 128)
  .option("--max-bytes <n>", "largest body", wholeNumber(1), 10 * 2 ** 20)
  .option("--max-pixels <n>", "largest image", wholeNumber(1), 25_000_000)
  .option("--max-image-size <n>", "largest side of the images that the detector's network takes", wholeNumber(1), 512)
  .option("--body-timeout <ms>", "from the headers of a request to the end of its body", wholeNumber(1, longestTimer), 10_000)
  .option("--timeout <ms>", "from the headers of a request to its verdict", wholeNumber(1, longestTimer), 30_000)
  .option("--grace <ms>", "for accepted requests, when the service is told to end", wholeNumber(0, longestTimer), 10_000)
  .parse();
const options = program.opts();

const service = new Service(options);
const { server } = service;
server.once("error", (error) => fail(error.message)); // the port is taken, the address is none of this machine
server.listen(options.port, options.host, () => console.log(`listening on http://${options.host}:${server.address().port}`));

let ending = false;
async function end() {
  if (ending) process.exit(1); // told twice
  ending = true;
  console.log(`ending: ${service.pending} requests are accepted`);
  await service.end(options.grace);
  console.log("ended");
}
process.on("SIGTERM", end);
process.on("SIGINT", end);

try {
  const { device, maxImageSize, model } = options;
  const detector = await Detector.load(program.args[0], { device, maxImageSize, model });
  if (detector.takes !== "images") fail(`${program.args[0]}: expected a detector of images, found one of ${detector.takes}`);
  const { channels } = detector.model.input;
  if (channels !== 1 && channels !== 3) fail(`${program.args[0]}: expected a network of 1 or 3 channels, found ${channels}`);
  if (!ending) {
    await service.start(detector);
    console.log(`ready, ${detector.classNames.length} classes`);
  }
} catch (error) {
  if (!isLibtorchOodError(error)) throw error;
  fail(`${error.code}: ${error.message}`);
}

/** Ends the process with one line. */
function fail(message) {
  console.error(message);
  process.exit(1);
}
