// How often the event loop turns while a call works.

/** What `body` gives, and how many turns of about a millisecond the event loop took meanwhile. The timer ends with the call, also where it fails. */
export async function countTurns<T>(body: () => Promise<T>): Promise<{ result: T; turns: number }> {
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  try {
    return { result: await body(), turns };
  } finally {
    clearInterval(timer);
  }
}
