/** Why a statement did not run to its end: which rule, what the server said, where, or at which limit. */

import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { Quoted } from "@/components/quoted";
import { ErrorBox } from "@/components/states";
import { asProblem, type Problem } from "@/lib/problem";
import type databases from "@/locales/databases/en.json";

/** Where the problem is in the statement; null when it names no place. */
export function faultOf(error: unknown): number | null {
  const position = error === null || error === undefined ? null : asProblem(error).members["position"];
  return typeof position === "number" && position >= 0 ? position : null;
}

export function StatementError({ error, statement, onGoTo }: { error: unknown; statement: string; onGoTo: (position: number) => void }): ReactNode {
  const { t } = useTranslation();
  const problem = asProblem(error);
  const position = faultOf(problem);
  const what = useWhat(problem);
  if (what === null) return <ErrorBox error={problem} />;
  return (
    <div role="alert" className="m-3 flex flex-col items-start gap-1.5 rounded border-l-4 border-bad bg-sunken px-3 py-2 text-sm">
      <p className="font-medium">{what}</p>
      {problem.detail && (
        <p lang="en" className="border-l-2 border-edge pl-2 text-xs text-muted">
          <Quoted>{problem.detail}</Quoted>
        </p>
      )}
      {position !== null && (
        <Button look="quiet" className="!px-1 text-accent" onClick={() => onGoTo(position)}>
          {t("databases.console.position", place(statement, position))}
        </Button>
      )}
    </div>
  );
}

/** What it is called here; null for what has a name everywhere. */
function useWhat(problem: Problem): string | null {
  const { t, i18n } = useTranslation();
  const { type, members } = problem;
  const rule = `databases.rule.${String(members["rule"])}`;
  if ((type === "statement-refused" || type === "write-not-possible") && i18n.exists(rule)) return t(rule as `databases.rule.${keyof typeof databases.databases.rule}`);
  if (type === "statement-failed") return t("databases.console.failed", { code: typeof members["code"] === "number" ? members["code"] : "–" });
  if (type === "database-statement-timed-out" && typeof members["limit_s"] === "number") return t("databases.console.timedOut", { seconds: members["limit_s"] });
  if (type === "query-killed") return t("databases.console.killed");
  return null;
}

/** Lines and columns from 1, as the editor counts them. */
function place(statement: string, position: number): { line: number; column: number } {
  const before = statement.slice(0, position).split("\n");
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}
