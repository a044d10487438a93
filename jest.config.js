// Jest: TypeScript tests, laid out like lib/, compiled by swc; each file runs in a realm of its own.
module.exports = {
  testEnvironment: "node",
  globalSetup: "<rootDir>/scripts/score-index.mjs", // a score is there because its file is
  globalTeardown: "<rootDir>/scripts/open-handles.mjs",
  roots: ["<rootDir>/test"],
  testMatch: ["**/*.test.ts"],
  transform: { "^.+\\.ts$": ["@swc/jest", { jsc: { parser: { syntax: "typescript" }, target: "es2022" }, module: { type: "commonjs" } }] },
  testTimeout: 120_000,
  maxWorkers: 1,
};
