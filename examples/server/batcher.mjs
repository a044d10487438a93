// Gathers what is asked for at about the same time into batches: while one is computed, the next one gathers.

export class Batcher {
  #compute;
  #maxBatch;
  #maxWait;
  #waiting = [];
  #computing = false;
  #ending = false;
  #next;

  /**
   * @param compute - `(items, signal)` to a promise of one `{ value }` or `{ error }` per item, in order; the signal says that nobody waits any more
   * @param maxBatch - items in a batch
   * @param maxWait - milliseconds for which an idle batcher lets one item wait for company
   */
  constructor(compute, { maxBatch, maxWait = 0 }) {
    this.#compute = compute;
    this.#maxBatch = maxBatch;
    this.#maxWait = maxWait;
  }

  /** Items that are in no batch yet. */
  get waiting() {
    return this.#waiting.length;
  }

  /** A promise of the item's own result. After an abort it rejects with the signal's reason, and an item in no batch yet gets into none. */
  submit(item, signal) {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const entry = { item, since: performance.now(), gone: false, settle: undefined, batchLeft: undefined };
      const leave = () => {
        entry.gone = true;
        this.#waiting = this.#waiting.filter((other) => other !== entry);
        entry.batchLeft?.();
        reject(signal.reason);
      };
      entry.settle = (result) => {
        signal.removeEventListener("abort", leave);
        if ("error" in result) reject(result.error);
        else resolve(result.value);
      };
      signal.addEventListener("abort", leave, { once: true });
      this.#waiting.push(entry);
      this.#schedule();
    });
  }

  /** From now on nobody waits for company. */
  end() {
    this.#ending = true;
    this.#schedule();
  }

  // At the end of this turn of the event loop, so that what came in together stays together; later where there is time to wait.
  #schedule() {
    if (this.#computing || this.#waiting.length === 0) return;
    clearTimeout(this.#next);
    const mayWait = !this.#ending && this.#waiting.length < this.#maxBatch;
    const wait = mayWait ? this.#waiting[0].since + this.#maxWait - performance.now() : 0;
    if (wait > 0) this.#next = setTimeout(() => this.#start(), wait);
    else setImmediate(() => this.#start());
  }

  async #start() {
    if (this.#computing || this.#waiting.length === 0) return;
    this.#computing = true;
    const batch = this.#waiting.splice(0, this.#maxBatch);
    const controller = new AbortController();
    for (const entry of batch) {
      entry.batchLeft = () => {
        if (batch.every(({ gone }) => gone)) controller.abort();
      };
    }
    try {
      const items = batch.map(({ item }) => item);
      const results = await this.#compute(items, controller.signal);
      batch.forEach((entry, i) => entry.settle(results[i]));
    } catch (error) {
      for (const entry of batch) entry.settle({ error });
    }
    this.#computing = false;
    this.#schedule();
  }
}
