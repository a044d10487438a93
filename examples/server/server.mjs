// Serves a detector over HTTP, with requests that come at the same time computed together.
//
//   node examples/server/server.mjs detector.safetensors [--port 8080] [--max-batch 32] [--max-wait 0]
//   curl --data-binary @photo.jpg http://127.0.0.1:8080/score

import { Command } from "commander";
import { Detector } from "libtorch-ood";
import { wholeNumber } from "../digits.mjs";
import { Service } from "./service.mjs";

const program = new Command("server")
  .description("Serve a detector of images: POST /score with the bytes of a PNG, JPEG or WebP image. GET /health, /ready, /metrics.")
  .argument("<detector>", "a file that Detector.save or `libtorch-ood fit` wrote")
  .option("--port <n>", "0: any that is free", wholeNumber(0), 8080)
  .option("--host <name>", "address to listen on", "127.0.0.1")
  .option("--device <name>", "cpu, cuda or cuda:N", "cpu")
  .option("--max-batch <n>", "images in one forward pass", wholeNumber(1), 32)
  .option("--max-wait <ms>", "for which a request waits for company where nothing is computed", wholeNumber(0), 0)
  .option("--max-requests <n>", "accepted at a time; more are told to come back", wholeNumber(1), 128)
  .option("--max-bytes <n>", "largest body", wholeNumber(1), 10 * 2 ** 20)
  .option("--timeout <ms>", "from a request to its verdict", wholeNumber(1), 30_000)
  .option("--grace <ms>", "for accepted requests, when the service is told to end", wholeNumber(0), 10_000)
  .parse();
const options = program.opts();

const service = new Service(options);
const { server } = service;
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

const detector = await Detector.load(program.args[0], { device: options.device });
if (detector.takes !== "images") program.error(`${program.args[0]}: expected a detector of images, found one of ${detector.takes}`);
if (!ending) {
  await service.start(detector);
  console.log(`ready, ${detector.classNames.length} classes`);
}
