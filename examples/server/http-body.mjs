// The bodies of requests: read within limits, and where an answer comes before the end of one, the rest taken and thrown away for a while.

export class HttpError extends Error {
  constructor(status, code, message, headers = {}) {
    super(message);
    Object.assign(this, { status, code, headers });
  }
}

/** For so long the rest of a body that is not wanted is taken, so that its sender gets to read the answer. */
const drainFor = 3000;

export function hasBody({ headers }) {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"]) > 0;
}

/**
 * Never holds more than `limit` bytes, whatever the client says or sends.
 *
 * @param take - called with the length of each piece; what it throws refuses the body
 */
export function readBody(request, limit, signal, take) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    let length = 0;
    const settle = (done) => {
      request.off("data", add);
      signal.removeEventListener("abort", late);
      chunks.length = done ? chunks.length : 0;
    };
    const refuse = (error) => {
      settle(false);
      reject(error);
    };
    const tooLarge = () => refuse(new HttpError(413, "TOO_LARGE", `expected at most ${limit} bytes`, { connection: "close" }));
    const add = (chunk) => {
      length += chunk.length;
      if (length > limit) return tooLarge();
      try {
        take(chunk.length);
      } catch (error) {
        return refuse(error);
      }
      chunks.push(chunk);
    };
    const late = () => refuse(Object.assign(signal.reason, { headers: { connection: "close" } })); // the rest of the body is not wanted
    if (Number(request.headers["content-length"]) > limit) return tooLarge();
    if (signal.aborted) return late();
    signal.addEventListener("abort", late, { once: true });
    request.on("data", add);
    request.once("end", () => {
      settle(true);
      resolve(Buffer.concat(chunks));
    });
    request.once("error", refuse);
  });
}

/**
 * Answers a request whose body is still coming. A connection that is closed with bytes in it unread is reset, and many clients then never see
 * the answer: they get it at once, and the connection ends with the body, or after {@link drainFor}.
 */
export function answerAndDrain(request, response, text) {
  response.write(text);
  const socket = request.socket;
  const enough = setTimeout(() => socket.destroy(), drainFor);
  const end = () => {
    clearTimeout(enough);
    response.end();
  };
  request.once("end", end);
  response.once("close", () => clearTimeout(enough));
  request.resume();
}
