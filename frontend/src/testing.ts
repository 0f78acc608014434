/** Set-up of all unit tests: the English catalogue, so that tests can name things as users see them. */

import i18next from "i18next";
import { initReactI18next } from "react-i18next";

import dns from "./locales/dns/en.json";
import en from "./locales/en.json";
import mail from "./locales/mail/en.json";
import records from "./locales/records/en.json";

await i18next.use(initReactI18next).init({ lng: "en", resources: { en: { translation: en } }, nsSeparator: false, interpolation: { escapeValue: false } });
for (const part of [dns, mail, records]) i18next.addResourceBundle("en", "translation", part, true);
