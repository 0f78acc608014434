// @vitest-environment node

import { readdirSync, readFileSync } from "node:fs";

import { expect, test } from "vitest";

/**
 * Who may import whom: app -> features -> components -> lib -> api, and features never each other. What a feature needs
 * of another one goes down to components or lib, or is handed to it by app. Computed from what there is.
 */
const TIERS = ["api", "lib", "components", "features", "app"];
const IMPORT = /(?:from|import\()\s*"([^"]+)"/g;

function faults(files: Readonly<Record<string, string>>): string[] {
  return Object.entries(files).flatMap(([file, source]) =>
    [...source.matchAll(IMPORT)].flatMap(([, wanted = ""]) => {
      const path = wanted.startsWith("@/") ? wanted.slice(2) : wanted.startsWith(".") ? new URL(wanted, `file:///${file}`).pathname.slice(1) : null;
      if (path === null) return [];
      const [from, to] = [file.split("/"), path.split("/")];
      const isUp = TIERS.indexOf(to[0] ?? "") > TIERS.indexOf(from[0] ?? "");
      const isBeside = from[0] === "features" && to[0] === "features" && from[1] !== to[1];
      return isUp || isBeside ? [`${file} imports ${path}`] : [];
    }),
  );
}

test("imports go down, and features know nothing of each other", () => {
  const root = new URL("./", import.meta.url);
  const names = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) => /^(api|lib|components|features|app)\/.*\.tsx?$/.test(name) && !name.endsWith(".test.ts"));
  expect(names.length).toBeGreaterThan(50);
  expect(faults(Object.fromEntries(names.map((name) => [name, readFileSync(new URL(name, root), "utf8")])))).toEqual([]);
});

test.each([
  ["features/logs/a.ts", 'import { x } from "@/features/containers/x";'],
  ["features/logs/a.ts", 'const X = lazy(() => import("../containers/x"));'],
  ["components/a.tsx", 'import { x } from "@/features/logs/x";'],
  ["lib/a.ts", 'import { x } from "../components/x";'],
])("%s with %s is a fault", (file, source) => {
  expect(faults({ [file]: source })).toHaveLength(1);
});
