// A verdict in words.

/**
 * @param {import("../detector-client.mjs").Verdict} verdict
 * @returns {string}
 */
export function sentence({ className, confidence, pValue, outOfDistribution }) {
  const share = `${(100 * confidence).toFixed(0)} %`;
  if (!outOfDistribution) return `${className} (${share} sure).`;
  const rarity = `${(100 * pValue).toFixed(1)} %`;
  return `Nothing it knows. It would say ${className}, but do not believe it: of the images it knows only ${rarity} look as strange.`;
}

/** @param {readonly string[]} classNames */
export function aboutSentence(classNames) {
  const shown = classNames.slice(0, 20).join(", ");
  return `It knows ${classNames.length} kinds of images: ${shown}${classNames.length > 20 ? ", …" : ""}`;
}
