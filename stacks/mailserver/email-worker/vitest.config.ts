/** Tests run inside workerd, with R2 and KV in memory; the origin that they speak to is test/origin-server.mjs. */

import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

/**
 * What workerd says of each connection that a test lets fail, and of a debugger that Vitest looks for in vain. Neither
 * has a setting; failures of tests are not told in these words.
 */
const NOISE =
  /^(exception = |stack: |uncaught exception; |Fallback service failed to fetch|\[vitest-plugin\] "node:inspector")/;

for (const stream of [process.stdout, process.stderr]) {
  const write = stream.write.bind(stream);
  stream.write = (chunk: string | Uint8Array, ...rest: never[]): boolean => {
    const lines = (typeof chunk === "string" ? chunk : Buffer.from(chunk).toString()).split("\n");
    const isNoise = lines.some((line) => NOISE.test(line)) && lines.every((line) => line === "" || NOISE.test(line));
    return isNoise || write(chunk, ...rest);
  };
}

export default defineConfig({
  plugins: [
    cloudflareTest({ remoteBindings: false, wrangler: { configPath: "./wrangler.jsonc" }, miniflare: { cf: false } }),
  ],
  test: {
    include: ["src/**/*.test.ts"],
    globalSetup: "./test/origin-server.mjs",
    setupFiles: "./test/setup.ts",
    isolate: false, // one workerd for all files, one file after the other: they share R2 and KV
    fileParallelism: false,
    silent: "passed-only", // the Worker's log, where it explains a failure
    slowTestThreshold: 10_000,
    testTimeout: 30_000,
  },
});
