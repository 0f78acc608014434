/** What runs now, in the bar above every page; and the one place that hears of operations on the event stream. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { LoaderCircle } from "lucide-react";
import { lazy, Suspense, useRef, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { buttonLook } from "@/components/button";
import { toast } from "@/components/toast";
import { useOperationName } from "@/lib/act-name";
import { useTopic } from "@/lib/events";
import { operationNewsQuery, operationQuery, OPERATIONS, runningQuery, type OperationNews, type OperationView } from "@/lib/operations";
import { changesOf, roomOf, undoable } from "@/lib/plans";
import { sessionQuery } from "@/lib/session";

const REFRESH_MS = 400; // lists are fetched again at most this often, however much happens

const UndoDialog = lazy(async () => ({ default: (await import("@/components/plan-dialog")).UndoDialog }));

export function RunningOperations(): ReactNode {
  const { t } = useTranslation();
  const nameOf = useOperationName();
  const client = useQueryClient();
  const { data } = useQuery(runningQuery);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const { data: session } = useQuery(sessionQuery);
  const begun = useRef(new Set<string>()); // seen running by this tab: their ends are worth a word
  const [undone, setUndone] = useState<OperationView | null>(null);
  const tell = async (id: string): Promise<void> => {
    await client.cancelQueries({ queryKey: operationQuery(id).queryKey }); // an answer under way may be from before the end
    const ended = await client.fetchQuery(operationNewsQuery(id));
    const undo = ended.actor.id === session?.user?.id && undoable(ended) !== null ? { label: t("plan.undo"), run: () => setUndone(ended) } : undefined;
    toast(t("operations.ended", { ...nameOf(ended), state: t(`operations.state.${ended.state}`) }), undo);
  };
  useTopic("operations", (event) => {
    const news = event as OperationNews;
    client.setQueryData(operationQuery(news.id).queryKey, (known) => known && merged(known, news));
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      void client.invalidateQueries({ queryKey: [...OPERATIONS, "list"] });
      void client.invalidateQueries({ queryKey: runningQuery.queryKey });
    }, REFRESH_MS);
    if (news.state === "running") {
      // Which steps belong to it is known before the first of them ends.
      if (!begun.current.has(news.id) && roomOf(news.act)) void client.prefetchQuery({ ...operationNewsQuery(news.id), staleTime: REFRESH_MS });
      begun.current.add(news.id);
    } else {
      // The event says that it has ended, not with what: an answer that is under way may be from before.
      void client.invalidateQueries({ queryKey: operationQuery(news.id).queryKey });
      if (!begun.current.delete(news.id)) return;
      const isStep = [...begun.current].some((id) => isStepOf(news, client.getQueryData(operationQuery(id).queryKey)));
      if (!isStep) void tell(news.id).catch(() => undefined); // whoever cannot be asked now is asked by the page itself
    }
  });
  const count = data?.operations.length ?? 0;
  return (
    <>
      {count > 0 && (
        <Link to="/operations" search={{ state: "running" }} className={buttonLook("quiet", "text-accent")}>
          <LoaderCircle size={15} aria-hidden className="animate-spin" />
          <span aria-hidden className="sm:hidden">
            {count}
          </span>
          <span className="sr-only sm:not-sr-only">{t("operations.runningCount", { count })}</span>
        </Link>
      )}
      {undone && (
        <Suspense>
          <UndoDialog operation={undone} onClose={() => setUndone(null)} />
        </Suspense>
      )}
    </>
  );
}

/** Whether an operation is one of those that applying a plan has begun. */
export function isStepOf({ id, act, target }: Pick<OperationView, "id" | "act" | "target">, whole: OperationView | undefined): boolean {
  if (!whole || whole.id === id || whole.act.split(":")[0] !== act.split(":")[0]) return false;
  return changesOf(whole)?.some(({ name }) => name === target) ?? false;
}

/** An event has what changed; its lines are those that are new. */
export function merged(known: OperationView, news: OperationNews): OperationView {
  const last = known.lines.at(-1)?.number ?? -1;
  return { ...known, ...news, lines: [...known.lines, ...(news.lines ?? []).filter(({ number }) => number > last)] };
}
