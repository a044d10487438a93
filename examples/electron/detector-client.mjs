// The main process's side of the detector's process: starts it when it is first asked, matches answers to questions, and survives its end.

/**
 * @typedef {{ label: number, className: string, confidence: number, pValue: number, outOfDistribution: boolean }} Verdict
 * @typedef {{ classNames: string[] }} About
 * @typedef {{ postMessage(message: unknown): void, kill(): boolean, on(event: "message", listener: (message: any) => void): unknown, on(event: "exit", listener: (code: number) => void): unknown }} Child
 * @typedef {{ resolve: (answer: any) => void, reject: (error: Error) => void, timer: NodeJS.Timeout }} Question
 */

export class DetectorClient {
  #fork;
  #limit;
  #timeout;
  /** @type {Child | undefined} */
  #child;
  /** @type {Map<number, Question>} */
  #questions = new Map();
  #next = 0;

  /**
   * @param {() => Child} fork
   * @param {{ limit?: number, timeout?: number }} [options] - questions at a time, and milliseconds for each: a file can be so damaged that a decoder
   *   does not come back from it
   */
  constructor(fork, { limit = 8, timeout = 60_000 } = {}) {
    this.#fork = fork;
    this.#limit = limit;
    this.#timeout = timeout;
  }

  /** @returns {Promise<About>} */
  about() {
    return this.#ask({ task: "about" });
  }

  /**
   * @param {Uint8Array} image - of a PNG, JPEG, WebP, GIF, TIFF or AVIF file
   * @returns {Promise<Verdict>}
   */
  check(image) {
    return this.#ask({ task: "check", image });
  }

  stop() {
    this.#child?.kill();
  }

  /** @param {Record<string, unknown>} question */
  #ask(question) {
    if (this.#questions.size >= this.#limit) return Promise.reject(coded("BUSY", `${this.#limit} questions are open already`));
    return new Promise((resolve, reject) => {
      const child = (this.#child ??= this.#start());
      const id = this.#next++;
      const timer = setTimeout(() => {
        this.#settle(id, { error: { code: "TIMEOUT", message: `no answer in ${this.#timeout} ms` } });
        child.kill(); // it may hang
        this.#ended(child, "a kill");
      }, this.#timeout);
      this.#questions.set(id, { resolve, reject, timer });
      child.postMessage({ id, ...question });
    });
  }

  #start() {
    const child = this.#fork();
    child.on("message", ({ id, ...answer }) => this.#settle(id, answer));
    child.on("exit", (code) => this.#ended(child, code));
    return child;
  }

  /**
   * The next question starts another.
   *
   * @param {Child} child
   * @param {number | string} how
   */
  #ended(child, how) {
    if (this.#child !== child) return;
    this.#child = undefined;
    const error = { code: "ENDED", message: `the detector's process ended with ${how}` };
    for (const id of [...this.#questions.keys()]) this.#settle(id, { error });
  }

  /**
   * @param {number} id
   * @param {{ value?: unknown, error?: { code: string, message: string } }} answer
   */
  #settle(id, { value, error }) {
    const question = this.#questions.get(id);
    if (question === undefined) return; // it is answered already: too late
    this.#questions.delete(id);
    clearTimeout(question.timer);
    if (error === undefined) question.resolve(value);
    else question.reject(coded(error.code, error.message));
  }
}

/**
 * @param {string} code
 * @param {string} message
 */
function coded(code, message) {
  return Object.assign(new Error(message), { code });
}
