// The Python side: a virtual environment with what the peers need, and one persistent process that answers a JSON line per request.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));

/** The python of bench/.venv, which is made where it is missing or its requirements have changed; or PEER_PYTHON, taken as it is. */
export function peerPython() {
  if (process.env.PEER_PYTHON) return process.env.PEER_PYTHON;
  const environment = path.join(here, ".venv");
  const python = path.join(environment, process.platform === "win32" ? "Scripts/python.exe" : "bin/python");
  const requirements = path.join(here, "requirements.txt");
  const stamp = path.join(environment, "requirements.txt");
  const wanted = fs.readFileSync(requirements, "utf8");
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, "utf8") === wanted) return python;
  console.error("Installing the Python peers into bench/.venv (a few minutes, once) ...");
  run("python3", ["-m", "venv", environment]);
  run(python, ["-m", "pip", "install", "--quiet", "-r", requirements]);
  fs.writeFileSync(stamp, wanted);
  return python;
}

function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: ["ignore", 2, 2] });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed: ${error?.message ?? `exit status ${status}`}`);
}

export class Peer {
  #child;
  #lines;

  constructor() {
    this.#child = spawn(peerPython(), [path.join(here, "peers", "peer.py")], { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** The reply to one request; throws what the peer could not do. */
  async ask(request) {
    this.#child.stdin.write(JSON.stringify(request) + "\n");
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`the peer ended at ${JSON.stringify(request)}`);
    const reply = JSON.parse(value);
    if (reply.error) throw new Error(`${reply.operation}: ${reply.error}`);
    return reply;
  }

  async close() {
    this.#child.stdin.end();
    if (this.#child.exitCode === null) await once(this.#child, "exit");
  }
}
