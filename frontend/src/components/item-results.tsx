import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import type { Result } from "@/lib/plans";
import { Problem } from "@/lib/problem";
import { useProblemText } from "@/lib/problem-text";

import { Quoted } from "./quoted";
import { Status } from "./status";

/** `nameOf`: what people call each. What became of it: its own operation where there was one, the problem where it did not come about. */
export function ItemResults({ results, nameOf = (name) => name }: { results: readonly Result[]; nameOf?: (name: string) => string }): ReactNode {
  const { t } = useTranslation();
  return (
    <ul aria-label={t("operations.results")} className="flex max-h-80 flex-col divide-y divide-line overflow-y-auto text-sm">
      {results.map(({ name, operation, state, problem }) => (
        <li key={name} className="flex flex-wrap items-center justify-between gap-x-3 px-3 py-1.5">
          <Quoted>{nameOf(name)}</Quoted>
          <span className="flex flex-wrap items-center gap-x-3">
            {problem !== null && <Why problem={new Problem(409, problem)} />}
            <Status tone={state === "done" ? "good" : state === "running" ? "running" : "bad"}>{t(state === "refused" ? "result.denied" : `operations.state.${state}`)}</Status>
            {operation && (
              <Link to="/operations/$id" params={{ id: operation }} className="underline" aria-label={t("operations.detailsOf", { name: nameOf(name) })}>
                {t("operations.details")}
              </Link>
            )}
          </span>
        </li>
      ))}
    </ul>
  );
}

function Why({ problem }: { problem: Problem }): ReactNode {
  const { what } = useProblemText(problem);
  return <span className="text-bad">{what}</span>;
}
