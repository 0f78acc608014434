/**
 * Languages. Both catalogues are complete (scripts/catalogues.ts fails the build otherwise), each is loaded when it is
 * needed, and keys are typed by the English one. Which language: what was chosen here, else what the browser states,
 * else Japanese.
 */

import i18next from "i18next";
import { initReactI18next } from "react-i18next";

import type en from "@/locales/en.json";

export const LANGUAGES = ["ja", "en"] as const;
export type Language = (typeof LANGUAGES)[number];
export const LANGUAGE_NAMES: Record<Language, string> = { ja: "日本語", en: "English" };

declare module "i18next" {
  interface CustomTypeOptions {
    resources: { translation: typeof en };
    nsSeparator: false;
  }
}

const STORED = "homeport.language";
const CATALOGUES: Record<Language, () => Promise<{ default: object }>> = {
  ja: () => import("@/locales/ja.json"),
  en: () => import("@/locales/en.json"),
};

export async function startLanguages(): Promise<void> {
  await i18next.use(initReactI18next).init({
    lng: preferred(),
    resources: {},
    nsSeparator: false, // acts have colons in their names
    interpolation: { escapeValue: false }, // React writes text nodes
    returnNull: false,
  });
  await setLanguage(preferred());
}

export async function setLanguage(language: Language, { isChoice = false } = {}): Promise<void> {
  if (!i18next.hasResourceBundle(language, "translation")) {
    i18next.addResourceBundle(language, "translation", (await CATALOGUES[language]()).default);
  }
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
