// Repeats a decoder's failure alone, so that what it says is of this image: libvips has one list of faults for all images of the process.

/** Calls that run now; those of them that want to be alone wait until there are none, and no other begins meanwhile. */
let running = 0;
let waitingAlone = 0;
let alone = false;
let waiting: (() => void)[] = [];

/**
 * Runs a call of the decoder. When it fails, it runs once more with no other call beside it, and the result of that counts.
 *
 * @throws what the second call throws
 */
export async function decoderTurn<T>(call: () => Promise<T>): Promise<T> {
  while (alone || waitingAlone > 0) await change();
  running++;
  try {
    return await call();
  } catch {
    // What it says may be half of another image's, and half its own.
  } finally {
    running--;
    wake();
  }
  waitingAlone++;
  try {
    while (alone || running > 0) await change();
    alone = true;
  } finally {
    waitingAlone--;
  }
  try {
    return await call();
  } finally {
    alone = false;
    wake();
  }
}

function change(): Promise<void> {
  return new Promise((resolve) => waiting.push(resolve));
}

function wake(): void {
  const woken = waiting;
  waiting = [];
  for (const resolve of woken) resolve();
}
