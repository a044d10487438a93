// What preload.cjs gives to the page.

import type { About, Verdict } from "./detector-client.mjs";

type Answer<T> = Promise<{ value: T; problem?: undefined } | { problem: string; value?: undefined }>;

declare global {
  interface Window {
    detector: {
      about(): Answer<About & { maxBytes: number }>;
      check(bytes: Uint8Array): Answer<Verdict>;
    };
  }
}
