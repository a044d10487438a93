// The page's behaviour: takes a file that is dropped or chosen, shows it, and shows what the detector says of it.

import { aboutSentence, sentence } from "./sentences.js";

const target = element("target");
const input = /** @type {HTMLInputElement} */ (element("file"));
const image = /** @type {HTMLImageElement} */ (element("image"));
const verdict = element("verdict");
const problem = element("problem");

let maxBytes = Infinity;
let latest = 0;

/** @param {File | undefined} file */
async function check(file) {
  if (file === undefined) return;
  const turn = ++latest; // the answer to an image that another has replaced is not shown
  show("Looking …", "");
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(file);
  image.hidden = false;
  if (file.size > maxBytes) return show("", `This file is too large. Files of up to ${Math.floor(maxBytes / 2 ** 20)} MB work.`);
  const answer = await window.detector.check(new Uint8Array(await file.arrayBuffer()));
  if (turn !== latest) return;
  if (answer.problem !== undefined) return show("", answer.problem);
  show(sentence(answer.value), "", answer.value.outOfDistribution);
}

/**
 * @param {string} said
 * @param {string} wrong
 * @param {boolean} [unknown]
 */
function show(said, wrong, unknown = false) {
  verdict.textContent = said;
  verdict.className = unknown ? "unknown" : "";
  problem.textContent = wrong;
}

/** @param {string} id */
function element(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

input.addEventListener("change", () => void check(input.files?.[0]));
// A file that is dropped anywhere would otherwise replace the page.
for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());
target.addEventListener("dragover", () => target.classList.add("over"));
target.addEventListener("dragleave", () => target.classList.remove("over"));
target.addEventListener("drop", (event) => {
  target.classList.remove("over");
  void check(event.dataTransfer?.files[0]);
});

const { value, problem: wrong } = await window.detector.about();
if (value === undefined) show("", wrong ?? "");
else {
  maxBytes = value.maxBytes;
  element("about").textContent = aboutSentence(value.classNames);
}
