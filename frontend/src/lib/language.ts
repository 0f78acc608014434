/**
 * Languages. Both catalogues are complete (scripts/catalogues.ts fails the build otherwise), each is loaded when it is
 * needed, and keys are typed by the English one. Which language: what was chosen here, else what the browser states,
 * else Japanese.
 *
 * What only some rooms say is a part of its own, so that nobody's first load pays for it: their pages bring it with
 * them (`withTexts`), and the shell fetches it a little later for those that only mention the room.
 */

import i18next from "i18next";
import { initReactI18next } from "react-i18next";

import type backups from "@/locales/backups/en.json";
import type databases from "@/locales/databases/en.json";
import type dns from "@/locales/dns/en.json";
import type en from "@/locales/en.json";
import type mail from "@/locales/mail/en.json";
import type records from "@/locales/records/en.json";
import type sites from "@/locales/sites/en.json";
import type wordpress from "@/locales/wordpress/en.json";

export const LANGUAGES = ["ja", "en"] as const;
export type Language = (typeof LANGUAGES)[number];
export const LANGUAGE_NAMES: Record<Language, string> = { ja: "日本語", en: "English" };

declare module "i18next" {
  interface CustomTypeOptions {
    resources: { translation: typeof en & typeof backups & typeof databases & typeof dns & typeof mail & typeof records & typeof sites & typeof wordpress };
    nsSeparator: false;
  }
}

const STORED = "homeport.language";
const CATALOGUES: Record<Language, () => Promise<{ default: object }>> = {
  ja: () => import("@/locales/ja.json"),
  en: () => import("@/locales/en.json"),
};

const PARTS = {
  backups: { ja: () => import("@/locales/backups/ja.json"), en: () => import("@/locales/backups/en.json") },
  databases: { ja: () => import("@/locales/databases/ja.json"), en: () => import("@/locales/databases/en.json") },
  dns: { ja: () => import("@/locales/dns/ja.json"), en: () => import("@/locales/dns/en.json") },
  records: { ja: () => import("@/locales/records/ja.json"), en: () => import("@/locales/records/en.json") }, // forms of records and what is wrong with them
  mail: { ja: () => import("@/locales/mail/ja.json"), en: () => import("@/locales/mail/en.json") }, // tunnel, mail posture, mail domains
  sites: { ja: () => import("@/locales/sites/ja.json"), en: () => import("@/locales/sites/en.json") }, // of one site, and what is done with sites
  wordpress: { ja: () => import("@/locales/wordpress/ja.json"), en: () => import("@/locales/wordpress/en.json") },
} as const satisfies Record<string, Record<Language, () => Promise<{ default: object }>>>;
type Part = keyof typeof PARTS;

const needed = new Set<Part>();

export async function startLanguages(): Promise<void> {
  await i18next.use(initReactI18next).init({
    lng: preferred(),
    resources: {},
    nsSeparator: false, // acts have colons in their names
    interpolation: { escapeValue: false }, // React writes text nodes
    react: { bindI18nStore: "added" }, // what a part brings is shown where it is missing now
    returnNull: false,
  });
  await setLanguage(preferred());
}

export async function setLanguage(language: Language, { isChoice = false } = {}): Promise<void> {
  if (!i18next.hasResourceBundle(language, "translation")) {
    i18next.addResourceBundle(language, "translation", (await CATALOGUES[language]()).default);
  }
  await Promise.all([...needed].map((part) => addPart(part, language)));
  await i18next.changeLanguage(language);
  document.documentElement.lang = language;
  if (isChoice) {
    try {
      localStorage.setItem(STORED, language);
    } catch {
      // storage is blocked: it holds for this page only
    }
  }
}

/** Given a page or a dialog that is being loaded, return it once the texts of these parts are there, too. */
export async function withTexts<T>(loading: Promise<T>, ...parts: readonly Part[]): Promise<T> {
  for (const part of parts) needed.add(part); // from now on in every language that is chosen
  const [loaded] = await Promise.all([loading, ...parts.map((part) => addPart(part, currentLanguage()))]);
  return loaded;
}

const added = new Set<string>();

async function addPart(part: Part, language: Language): Promise<void> {
  const texts = (await PARTS[part][language]()).default;
  if (added.has(`${part} ${language}`)) return; // of two that waited
  added.add(`${part} ${language}`);
  i18next.addResourceBundle(language, "translation", texts, true);
}

export function currentLanguage(): Language {
  return i18next.language === "en" ? "en" : "ja";
}

function preferred(): Language {
  let stored: string | null = null;
  try {
    stored = localStorage.getItem(STORED);
  } catch {
    // storage is blocked
  }
  const wanted = [stored, ...navigator.languages].map((each) => each?.slice(0, 2).toLowerCase());
  return LANGUAGES.find((each) => each === wanted.find((name) => name === "ja" || name === "en")) ?? "ja";
}
