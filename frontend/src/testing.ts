/** Set-up of all unit tests: the English catalogue, so that tests can name things as users see them. */

import i18next from "i18next";
import { initReactI18next } from "react-i18next";

import en from "./locales/en.json";

await i18next.use(initReactI18next).init({ lng: "en", resources: { en: { translation: en } }, nsSeparator: false, interpolation: { escapeValue: false } });
