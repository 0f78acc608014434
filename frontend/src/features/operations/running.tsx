/** What runs now, in the bar above every page; and the one place that hears of operations on the event stream. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { LoaderCircle } from "lucide-react";
import { useRef, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { buttonLook } from "@/components/button";
import { toast } from "@/components/toast";
import { useTopic } from "@/lib/events";

import { useActName } from "./act-name";
import { operationQuery, OPERATIONS, runningQuery, type OperationView } from "./requests";

const REFRESH_MS = 400; // lists are fetched again at most this often, however much happens

export function RunningOperations(): ReactNode {
  const { t } = useTranslation();
  const actName = useActName();
  const client = useQueryClient();
  const { data } = useQuery(runningQuery);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const begun = useRef(new Set<string>()); // seen running by this tab: their ends are worth a word
  useTopic("operations", (event) => {
    const news = event as OperationView;
    client.setQueryData(operationQuery(news.id).queryKey, (known) => known && merged(known, news));
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      void client.invalidateQueries({ queryKey: [...OPERATIONS, "list"] });
      void client.invalidateQueries({ queryKey: runningQuery.queryKey });
    }, REFRESH_MS);
    if (news.state === "running") begun.current.add(news.id);
    else if (begun.current.delete(news.id)) {
      void client.invalidateQueries({ queryKey: operationQuery(news.id).queryKey });
      toast(t("operations.ended", { act: actName(news.act), target: news.target, state: t(`operations.state.${news.state}`) }));
    }
  });
  const count = data?.operations.length ?? 0;
  if (count === 0) return null;
  return (
    <Link to="/operations" search={{ state: "running" }} className={buttonLook("quiet", "text-accent")}>
      <LoaderCircle size={15} aria-hidden className="animate-spin" />
      {t("operations.runningCount", { count })}
    </Link>
  );
}

/** An event has what changed; its lines are those that are new. */
export function merged(known: OperationView, news: Partial<OperationView>): OperationView {
  const last = known.lines.at(-1)?.number ?? -1;
  return { ...known, ...news, lines: [...known.lines, ...(news.lines ?? []).filter(({ number }) => number > last)] };
}
