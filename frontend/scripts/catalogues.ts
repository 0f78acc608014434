/**
 * Fails the build when a catalogue is not complete (ux.md 7): a key that only one language has, a plural form that a
 * language needs and lacks, placeholders that differ, an empty text, or a key that nothing uses. Keys that the code
 * uses and no catalogue has fail in the type check, because `t` is typed by the English one.
 */

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const LANGUAGES = ["ja", "en"] as const;
const PLURAL = /_(zero|one|two|few|many|other)$/;
const FOLDERS = ["", "backups/", "databases/", "dns/", "mail/", "records/", "sites/", "wordpress/"] as const; // the whole's, and those of the parts (lib/language.ts)
const BY_VALUE = ["act.", "dark.", "databases.rule.", "dns.check.", "dns.content.", "dns.data.", "factor.", "operations.detail.", "pages.", "plan.value.", "probe.", "problem.", "problemReason.", "reading.", "role.", "roleHint.", "uses.why.", "wordpress.step.", "wordpress.suffers."]; // keyed by what the API says

type Texts = Map<string, string>;

function flat(tree: Record<string, unknown>, prefix = ""): [string, string][] {
  return Object.entries(tree).flatMap(([name, value]) =>
    typeof value === "string" ? [[prefix + name, value] as [string, string]] : flat(value as Record<string, unknown>, `${prefix}${name}.`),
  );
}

function read(language: string): Texts {
  return new Map(FOLDERS.flatMap((folder) => flat(JSON.parse(readFileSync(new URL(`../src/locales/${folder}${language}.json`, import.meta.url), "utf8")) as Record<string, unknown>)));
}

const placeholders = (text: string): string => [...text.matchAll(/\{\{(\w+)\}\}/g)].map((match) => match[1]).toSorted((one = "", other = "") => one.localeCompare(other)).join(" ");

export function faults(texts: Readonly<Record<(typeof LANGUAGES)[number], Texts>>, source: string): string[] {
  const found: string[] = [];
  const stems = new Set(LANGUAGES.flatMap((language) => [...texts[language].keys()].map((key) => key.replace(PLURAL, ""))));
  for (const stem of stems) {
    const isPlural = LANGUAGES.some((language) => texts[language].has(`${stem}_other`));
    for (const language of LANGUAGES) {
      const wanted = isPlural ? new Intl.PluralRules(language).resolvedOptions().pluralCategories.map((form) => `${stem}_${form}`) : [stem];
      for (const key of wanted) {
        const text = texts[language].get(key);
        if (text === undefined) found.push(`${language}: ${key} is missing`);
        else if (text.trim() === "") found.push(`${language}: ${key} is empty`);
      }
    }
    const sets = new Set(LANGUAGES.map((language) => placeholders(texts[language].get(isPlural ? `${stem}_other` : stem) ?? "")));
    if (sets.size > 1) found.push(`${stem}: the languages have different placeholders`);
    if (!BY_VALUE.some((prefix) => stem.startsWith(prefix)) && !isUsed(stem, source)) found.push(`${stem} is not used`);
  }
  return found;
}

/** Written out, or begun in a template: t(`a.b.${c}`), t(`a.${b}.c`). */
function isUsed(key: string, source: string): boolean {
  if (source.includes(`"${key}"`)) return true;
  const parts = key.split(".");
  return parts.some((_, index) => {
    if (index === 0) return false;
    const begin = `\`${parts.slice(0, index).join(".")}.\${`;
    const rest = parts.slice(index + 1).join(".");
    return source.split(begin).slice(1).some((after) => after.slice(after.indexOf("}") + 1).startsWith(rest ? `.${rest}\`` : "`"));
  });
}

export function sources(): string {
  const root = new URL("../src/", import.meta.url);
  return readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((name) => /\.tsx?$/.test(name) && !name.startsWith("api/"))
    .map((name) => readFileSync(new URL(name, root), "utf8"))
    .join("\n");
}

export function catalogues(): Record<(typeof LANGUAGES)[number], Texts> {
  return { ja: read("ja"), en: read("en") };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const found = faults(catalogues(), sources());
  for (const fault of found) console.error(fault);
  if (found.length > 0) process.exit(1);
}
