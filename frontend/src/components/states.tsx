/** What a view shows when it has no data: not yet, none, or none to be had (ux.md section 4). */

import { Link } from "@tanstack/react-router";
import { RotateCw } from "lucide-react";
import { useEffect, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { visible } from "@/lib/hostile-text";
import { asProblem } from "@/lib/problem";
import { useProblemText } from "@/lib/problem-text";

import { Button } from "./button";
import { CommandLine, CopyButton } from "./copy";

const SLOW_MS = 10_000;
const IS_QUOTING = /^(?:cloudflare|dns|tunnel|edge|canary|mail-domain|site|wp|web-config|update|package|roll-back)-/; // problems whose detail says what somebody else has answered

/** Rows in grey where rows will be; after ten seconds a word on what is being waited for. */
export function Skeleton({ rows = 6 }: { rows?: number }): ReactNode {
  const { t } = useTranslation();
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), SLOW_MS);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div role="status" aria-label={t("common.loading")} className="late flex flex-col gap-2 p-3">
      {slow && <p className="text-sm text-muted">{t("common.loadingSlow")}</p>}
      {Array.from({ length: rows }, (_, row) => (
        <div key={row} className="h-5 rounded bg-sunken" />
      ))}
    </div>
  );
}

export function Empty({ title, children, command, action }: { title: string; children?: ReactNode; command?: string; action?: ReactNode }): ReactNode {
  return (
    <div className="flex flex-col items-start gap-2 px-3 py-6 text-sm sm:px-6">
      <p className="font-medium">{title}</p>
      {children && <div className="max-w-prose text-muted">{children}</div>}
      {action}
      {command && <CommandLine command={command} />}
    </div>
  );
}

/** What failed, what to do, and the request's id to look for in the log. */
export function ErrorBox({ error, onRetry }: { error: unknown; onRetry?: () => void }): ReactNode {
  const { t } = useTranslation();
  const problem = asProblem(error);
  const { what, next } = useProblemText(problem);
  return (
    <div role="alert" className="m-3 flex flex-col items-start gap-1.5 rounded border-l-4 border-bad bg-sunken px-3 py-2 text-sm">
      <p className="font-medium">{what}</p>
      {next && <p className="text-muted">{next}</p>}
      {problem.detail && <p className="quoted text-xs text-muted">{problem.detail}</p>}
      {problem.requestId && (
        <p className="flex items-center gap-1 text-xs text-muted">
          {t("common.requestId")} <code className="font-mono">{problem.requestId}</code>
          <CopyButton text={problem.requestId} />
        </p>
      )}
      {onRetry && (
        <Button onClick={onRetry}>
          <RotateCw size={14} aria-hidden />
          {t("common.retry")}
        </Button>
      )}
    </div>
  );
}

/** Something could not be done, said where it was asked for. */
export function InlineError({ error }: { error: unknown }): ReactNode {
  const { t } = useTranslation();
  const problem = asProblem(error);
  const { what, next } = useProblemText(problem);
  return (
    <div role="alert" className="rounded border-l-4 border-bad bg-sunken px-3 py-2 text-sm">
      <p className="font-medium">{what}</p>
      {next && <p className="text-muted">{next}</p>}
      {IS_QUOTING.test(problem.type) && problem.detail && (
        <blockquote lang="en" className="quoted border-l-2 border-edge pl-2 text-xs text-muted">
          {visible(problem.detail)}
        </blockquote>
      )}
      {problem.type === "target-busy" && typeof problem.members["operation"] === "string" && (
        <Link to="/operations/$id" params={{ id: problem.members["operation"] }} className="underline">
          {t("operations.toIt")}
        </Link>
      )}
      {problem.requestId && <p className="quoted text-xs text-muted">{problem.requestId}</p>}
    </div>
  );
}
