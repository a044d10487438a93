// ESLint: the recommended rules, with type information for lib/, whose promises and unsafe casts matter most.
import js from "@eslint/js";
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

const names =
  "console process performance URL Buffer fetch Request Response File AbortController AbortSignal structuredClone TextDecoder TextEncoder";
const timers = "setTimeout clearTimeout setInterval clearInterval setImmediate queueMicrotask";
const nodeGlobals = Object.fromEntries(`${names} ${timers}`.split(" ").map((name) => [name, "readonly"]));
const pageGlobals = { document: "readonly", window: "readonly", URL: "readonly" };
const commonJsGlobals = { module: "writable", exports: "writable", require: "readonly", __filename: "readonly", __dirname: "readonly" };

export default defineConfig(
  globalIgnores(["dist/", "build/", "prebuilds/", "coverage/", "data/", "runs/", "**/.venv/"]),
  js.configs.recommended,
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  { files: ["**/*.mjs"], languageOptions: { globals: nodeGlobals } },
  { files: ["**/*.js", "**/*.cjs"], languageOptions: { sourceType: "commonjs", globals: { ...nodeGlobals, ...commonJsGlobals } } },
  { files: ["examples/electron/renderer/*.js"], languageOptions: { sourceType: "module", globals: pageGlobals } },
  {
    files: ["lib/**/*.ts"],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
  },
  // The public methods name themselves to Error.captureStackTrace, which only compares the function and never calls it.
  {
    files: [
      "lib/models/resnet/resnet.ts",
      "lib/models/batch-extractor.ts",
      "lib/models/torchscript.ts",
      "lib/models/onnx/onnx-model.ts",
      "lib/detector/detector.ts",
    ],
    rules: { "@typescript-eslint/unbound-method": "off" },
  },
  { files: ["test/**/*.ts", "types/**/*.ts", "examples/**/*.ts"], extends: [tseslint.configs.recommended] },
  {
    files: ["**/*.ts"],
    rules: {
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
    },
  },
);
