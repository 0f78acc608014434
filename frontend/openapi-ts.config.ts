/**
 * The client of the portal's API, generated from what `homeport portal openapi` prints:
 *
 *     homeport portal openapi > frontend/openapi.json && npm --prefix frontend run client
 *
 * Its output is checked in; CI makes it again and fails on a difference. Server-sent events are read by EventSource.
 */

import { defineConfig } from "@hey-api/openapi-ts";

export default defineConfig({
  input: "./openapi.json",
  output: { path: "src/api", clean: true, entryFile: false },
  plugins: [
    { name: "@hey-api/client-fetch", runtimeConfigPath: "./src/lib/transport", throwOnError: true },
    "@hey-api/typescript",
    { name: "@hey-api/sdk", responseStyle: "data" },
  ],
});
