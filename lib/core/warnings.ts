// Warnings of calls whose result has no place for them. Each is given once per process: as a process warning, or to a receiver of the program's.

const said = new Set<string>();

function emit(message: string, code: string): void {
  process.emitWarning(message, { type: "LibtorchOodWarning", code });
}

let deliver = emit;

/** Gives a warning once per process (and worker): as a `warning` event of `process`, which Node.js prints on stderr. */
export function warn(code: string, message: string): void {
  if (said.has(message)) return;
  said.add(message);
  deliver(message, code);
}

/** Sends warnings to a receiver instead, for a program that has a place for them. Returns a function that undoes it. */
export function receiveWarnings(receiver: (message: string, code: string) => void): () => void {
  deliver = receiver;
  return () => {
    deliver = emit;
  };
}
