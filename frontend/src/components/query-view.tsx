/**
 * The states of a view that reads (ux.md section 4): skeleton, error, forbidden, and data that stays while it is
 * fetched again. A table that had rows is never blanked: an error then stands above them.
 */

import type { UseQueryResult } from "@tanstack/react-query";
import { Lock } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { asProblem } from "@/lib/problem";

import { ErrorBox, Skeleton } from "./states";

export function QueryView<T>({ query, rows, children }: { query: UseQueryResult<T>; rows?: number; children: (data: T) => ReactNode }): ReactNode {
  if (query.data === undefined) {
    if (!query.error) return <Skeleton rows={rows} />;
    const problem = asProblem(query.error);
    return problem.type === "not-permitted" ? <Forbidden role={problem.members["needed_role"]} /> : <ErrorBox error={problem} onRetry={() => void query.refetch()} />;
  }
  return (
    <div className="relative">
      {query.isFetching && (
        <div aria-hidden className="late absolute inset-x-0 top-0 z-10 h-0.5 overflow-hidden">
          <div className="sweep h-full w-1/4 bg-accent/70" />
        </div>
      )}
      {query.error && <ErrorBox error={query.error} onRetry={() => void query.refetch()} />}
      {children(query.data)}
    </div>
  );
}

function Forbidden({ role }: { role: unknown }): ReactNode {
  const { t } = useTranslation();
  return (
    <p className="flex items-center gap-2 px-3 py-6 text-sm text-muted sm:px-6">
      <Lock size={16} aria-hidden />
      {role === "operator" || role === "admin" ? t("common.needsRole", { role: t(`role.${role}`) }) : t("problem.not-permitted.what")}
    </p>
  );
}
