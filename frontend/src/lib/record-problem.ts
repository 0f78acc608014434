/** What is wrong with a DNS record, in the user's language: the code's own sentence, else the one the API sent. */

import { useTranslation } from "react-i18next";

import type { RecordProblem } from "@/api/types.gen";

import { visible } from "./hostile-text";

export function useRecordProblemText(): (problem: RecordProblem) => string {
  const { t, i18n } = useTranslation();
  return ({ code, params, text }) => {
    const key = `dns.check.${code}`;
    const shown = Object.fromEntries(Object.entries(params).map(([name, value]) => [name, typeof value === "number" ? value : visible(typeof value === "string" ? value : JSON.stringify(value))]));
    return i18n.exists(key) ? t(key as "dns.check.locked", shown) : visible(text);
  };
}
