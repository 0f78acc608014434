/** What one has run, newest first; each can be taken back into the editor. */

import { useInfiniteQuery } from "@tanstack/react-query";
import { CornerUpLeft } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button, IconButton } from "@/components/button";
import { Panel } from "@/components/panel";
import { Quoted } from "@/components/quoted";
import { Empty, ErrorBox, Skeleton } from "@/components/states";
import { Status, type Tone } from "@/components/status";
import { Table, type Column } from "@/components/table";
import { Time } from "@/components/time";

import { Sql } from "../sql";
import { historyQuery, type HistoryEntry } from "./requests";

const TONES: Record<HistoryEntry["state"], Tone> = { done: "good", refused: "denied", failed: "bad", "timed-out": "warn", killed: "idle" };

export default function HistoryPanel({ onUse }: { onUse: (entry: HistoryEntry) => void }): ReactNode {
  const { t } = useTranslation();
  const query = useInfiniteQuery(historyQuery);
  const entries = query.data?.pages.flatMap((page) => page.entries) ?? [];
  return (
    <Panel title={t("databases.console.tabs.history")}>
      {query.error && <ErrorBox error={query.error} onRetry={() => void query.refetch()} />}
      {query.isPending ? <Skeleton /> : entries.length === 0 ? <Empty title={t("databases.history.empty")}>{t("databases.history.emptyWhy")}</Empty> : <Entries entries={entries} onUse={onUse} />}
      {query.hasNextPage && (
        <div className="border-t border-line p-2">
          <Button busy={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
            {t("common.more")}
          </Button>
        </div>
      )}
    </Panel>
  );
}

function Entries({ entries, onUse }: { entries: readonly HistoryEntry[]; onUse: (entry: HistoryEntry) => void }): ReactNode {
  const { t } = useTranslation();
  const columns: readonly Column<HistoryEntry>[] = [
    { key: "at", head: t("databases.column.at"), cell: ({ at }) => <Time value={at} /> },
    { key: "place", head: t("databases.column.database"), spare: "md", cell: ({ server, database }) => <Quoted>{database === null ? server : `${server}/${database}`}</Quoted> },
    {
      key: "state",
      head: t("operations.stateLabel"),
      cell: ({ state, act, error }) => (
        <>
          <Status tone={TONES[state]}>{t(`databases.history.state.${state}`)}</Status>
          <span className="block text-xs text-muted">{t(`databases.history.act.${act}`)}</span>
          {error && (
            <span lang="en" className="line-clamp-2 max-w-64 text-xs text-muted">
              <Quoted>{error}</Quoted>
            </span>
          )}
        </>
      ),
    },
    { key: "rows", head: t("databases.tabs.rows"), align: "right", spare: "lg", cell: ({ rows }) => rows },
    { key: "took", head: t("databases.column.took"), align: "right", spare: "lg", cell: ({ took_ms }) => <span className="whitespace-nowrap">{t("databases.took", { ms: Math.round(took_ms) })}</span> },
    { key: "statement", head: t("databases.column.statement"), cell: ({ statement }) => <Sql text={statement} /> },
    {
      key: "acts",
      head: t("databases.column.acts"),
      align: "right",
      cell: (entry) => (
        <IconButton label={t("databases.history.use", { statement: entry.statement.slice(0, 40) })} onClick={() => onUse(entry)}>
          <CornerUpLeft size={15} aria-hidden />
        </IconButton>
      ),
    },
  ];
  return <Table caption={t("databases.console.tabs.history")} columns={columns} rows={entries} rowKey={({ id }) => id} />;
}
