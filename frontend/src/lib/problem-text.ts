/** What a problem is called in the user's language, keyed by its type. */

import type { TFunction } from "i18next";
import { useTranslation } from "react-i18next";

import type en from "@/locales/en.json";

import { duration } from "./format";
import { visible } from "./hostile-text";
import type { Problem } from "./problem";

type Known = keyof typeof en.problem;

export interface ProblemText {
  what: string;
  next: string;
}

export function problemText(problem: Problem, t: TFunction, exists: (key: string) => boolean): ProblemText {
  const known = exists(`problem.${problem.type}.what`) ? (problem.type as Known) : problem.status >= 500 ? "internal-error" : "unexpected";
  const reason = refusal(problem, t, exists);
  const wait = problem.retryAfterSeconds;
  return {
    what: t(`problem.${known}.what`),
    next: reason ?? (wait === null ? t(`problem.${known}.next`, namedIn(problem)) : t("common.retryAfter", { wait: duration(wait) })),
  };
}

/** What a problem names, for texts that have a place for it. It may be somebody else's text. The page on which Cloudflare's tokens are made says Edit where its API says Write. */
function namedIn({ members }: Problem): Readonly<Record<string, string | number>> {
  return Object.fromEntries(Object.entries(members).flatMap(([name, value]) => (typeof value === "string" ? [[name, name === "level" && value === "Write" ? "Edit" : visible(value)]] : [])));
}

/** Where a problem names one of several reasons (password-refused), the reason's own sentence. */
function refusal(problem: Problem, t: TFunction, exists: (key: string) => boolean): string | null {
  const key = `problemReason.${String(problem.members["reason"])}`;
  return exists(key) ? t(key as `problemReason.${keyof typeof en.problemReason}`) : null;
}

export function useProblemText(problem: Problem): ProblemText {
  const { t, i18n } = useTranslation();
  return problemText(problem, t, (key) => i18n.exists(key));
}
