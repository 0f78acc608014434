/** Containers that are gone and whose last lines are kept: which they were, and the way to their logs. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { FilterBox } from "@/components/field";
import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Table, type Column } from "@/components/table";
import { Time } from "@/components/time";
import { bytes, searchable } from "@/lib/format";

import { keptLogsQuery, type KeptLog } from "./requests";

export default function RemovedPanel({ find, onFind }: { find: string; onFind: (find: string) => void }): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(keptLogsQuery);
  const all = query.data?.logs;
  const shown = useMemo(() => all?.filter(({ name, service, stack, image }) => searchable(`${name} ${service} ${stack} ${image}`).includes(searchable(find))) ?? [], [all, find]);
  return (
    <div className="flex flex-col gap-4">
      {all && all.length > 0 && (
        <div className="flex flex-wrap items-center gap-2">
          <FilterBox label={t("containers.filter")} className="max-w-72" value={find} onChange={(event) => onFind(event.target.value)} />
          <span role="status" className="ml-auto text-xs text-muted">
            {t("containers.count", { count: shown.length })} · {bytes(shown.reduce((sum, { size_bytes }) => sum + size_bytes, 0))}
          </span>
        </div>
      )}
      <Panel title={t("containers.removed.title")}>
        <QueryView query={query}>
          {({ logs }) => {
            if (logs.length === 0) return <Empty title={t("containers.removed.empty")}>{t("containers.removed.emptyWhy")}</Empty>;
            if (shown.length === 0) return <Empty title={t("common.nothingMatches")} action={<Button onClick={() => onFind("")}>{t("common.resetFilter")}</Button>} />;
            return <KeptLogsTable logs={shown} />;
          }}
        </QueryView>
      </Panel>
      <CommandLine command="homeport containers kept-logs" />
    </div>
  );
}

export function KeptLogsTable({ logs }: { logs: readonly KeptLog[] }): ReactNode {
  const { t } = useTranslation();
  const columns: readonly Column<KeptLog>[] = [
    {
      key: "name",
      head: t("containers.name"),
      cell: ({ id, name, image }) => (
        <>
          <Link to="/containers/removed/$id" params={{ id }} className="font-medium hover:underline">
            <Quoted>{name}</Quoted>
          </Link>
          <span className="block text-xs text-muted">
            <Quoted>{image}</Quoted>
          </span>
        </>
      ),
    },
    { key: "stack", head: t("containers.overview.stack"), cell: ({ stack }) => <Quoted>{stack}</Quoted>, spare: "md" },
    {
      key: "removed",
      head: t("containers.removed.at"),
      cell: ({ removed_at }) => (removed_at ? <Time value={removed_at} absolute /> : <span className="text-unknown">{t("common.unknown")}</span>),
    },
    { key: "first", head: t("containers.removed.first"), cell: ({ first_at }) => <Time value={first_at} absolute />, spare: "lg" },
    { key: "last", head: t("containers.removed.last"), cell: ({ last_at }) => <Time value={last_at} absolute />, spare: "lg" },
    { key: "digest", head: t("containers.overview.digest"), cell: ({ image_id }) => <code className="font-mono text-[0.92em]">{shortId(image_id)}</code>, spare: "xl" },
    { key: "size", head: t("containers.removed.size"), align: "right", cell: ({ size_bytes }) => <span className="whitespace-nowrap">{bytes(size_bytes)}</span>, spare: "md" },
  ];
  return <Table caption={t("containers.removed.title")} columns={columns} rows={logs} rowKey={({ id }) => id} />;
}

/** Enough of `sha256:…` to tell one from another by eye. */
export function shortId(id: string): string {
  return id.replace(/^sha256:/, "").slice(0, 12);
}
