/** What a problem is called in the user's language, keyed by its type. */

import type { TFunction } from "i18next";
import { useTranslation } from "react-i18next";

import type en from "@/locales/en.json";

import { duration } from "./format";
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
    next: reason ?? (wait === null ? t(`problem.${known}.next`) : t("common.retryAfter", { wait: duration(wait) })),
  };
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
