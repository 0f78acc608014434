/**
 * Fails the build when the JavaScript of a first load passes its budget (ux.md 6): the entry with what it imports, one
 * language with the parts that the page's route names, and the largest page with what that imports. Also when the built
 * page has inline code or style, which the portal's content security policy would refuse.
 */

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

interface Chunk {
  file: string;
  isEntry?: boolean;
  imports?: string[];
  dynamicImports?: string[];
}

const LIMIT_BYTES = 200 * 1024;
const dist = new URL("../dist/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL(".vite/manifest.json", dist), "utf8")) as Record<string, Chunk>;

function withImports(names: readonly string[], seen = new Set<string>()): Set<string> {
  for (const name of names) {
    if (seen.has(name)) continue;
    seen.add(name);
    withImports(manifest[name]?.imports ?? [], seen);
  }
  return seen;
}

function weight(names: ReadonlySet<string>): number {
  return [...names].reduce((sum, name) => {
    const file = manifest[name]?.file ?? "";
    return file.endsWith(".js") ? sum + gzipSync(readFileSync(new URL(file, dist)), { level: 9 }).byteLength : sum;
  }, 0);
}

const entry = Object.keys(manifest).find((name) => manifest[name]?.isEntry);
if (!entry) throw new Error("the manifest has no entry");
const shared = withImports([entry]);
const dynamic = Object.keys(manifest).filter((name) => !shared.has(name) && manifest[name]?.file.endsWith(".js"));
const isLanguage = (name: string): boolean => name.includes("locales/");
const isPart = (name: string): boolean => /locales\/\w+\//.test(name);
const heaviest = (names: readonly string[]): number => Math.max(0, ...names.map((name) => weight(new Set([name]))));
const languages = heaviest(dynamic.filter((name) => isLanguage(name) && !isPart(name)));
const router = readFileSync(new URL("../src/app/router.tsx", import.meta.url), "utf8");

/** Of the parts that a page's route names: withTexts(import("@/features/..."), "dns"). */
function parts(page: string): number {
  const address = page.replace(/^src\//, "@/").replace(/\.tsx$/, "");
  const named = router.split(`withTexts(import("${address}"), `)[1]?.split(")")[0] ?? "";
  return [...named.matchAll(/"(\w+)"/g)].reduce((sum, [, part]) => sum + heaviest(dynamic.filter((name) => name.includes(`locales/${part}/`))), 0);
}

const pages = dynamic
  .filter((name) => name.endsWith("-page.tsx"))
  .map((name) => ({ name, bytes: weight(withImports([name], new Set(shared))) + languages + parts(name) }))
  .toSorted((one, other) => other.bytes - one.bytes);
for (const { name, bytes } of pages) console.log(`${(bytes / 1024).toFixed(1).padStart(7)} KiB  ${name}`);
const largest = pages[0]?.bytes ?? Infinity;
console.log(`first load: at most ${(largest / 1024).toFixed(1)} KiB gzip of ${LIMIT_BYTES / 1024}`);

const html = readFileSync(new URL("index.html", dist), "utf8");
const inline = /<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=/i.exec(html);
if (inline) console.error(`index.html has inline code or style: ${inline[0]}`);
if (largest > LIMIT_BYTES || inline) process.exit(1);
