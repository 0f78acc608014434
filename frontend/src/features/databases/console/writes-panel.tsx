/** Everybody's writes, newest first: measured, applied, taken back. */

import { useInfiniteQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { Panel } from "@/components/panel";
import { Quoted } from "@/components/quoted";
import { Empty, ErrorBox, Skeleton } from "@/components/states";
import { Table, type Column } from "@/components/table";
import { Time } from "@/components/time";

import { Sql } from "../sql";
import { writesQuery, type WriteView } from "./requests";
import { WriteStatus } from "./write-status";

export default function WritesPanel({ onOpen }: { onOpen: (id: string) => void }): ReactNode {
  const { t } = useTranslation();
  const query = useInfiniteQuery(writesQuery);
  const writes = query.data?.pages.flatMap((page) => page.writes) ?? [];
  return (
    <>
      <Panel title={t("databases.console.tabs.writes")}>
        {query.error && <ErrorBox error={query.error} onRetry={() => void query.refetch()} />}
        {query.isPending ? <Skeleton /> : writes.length === 0 ? <Empty title={t("databases.write.empty")}>{t("databases.write.emptyWhy")}</Empty> : <Writes writes={writes} onOpen={onOpen} />}
        {query.hasNextPage && (
          <div className="border-t border-line p-2">
            <Button busy={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
              {t("common.more")}
            </Button>
          </div>
        )}
      </Panel>
      <CommandLine command="homeport db write" />
    </>
  );
}

function Writes({ writes, onOpen }: { writes: readonly WriteView[]; onOpen: (id: string) => void }): ReactNode {
  const { t } = useTranslation();
  const columns: readonly Column<WriteView>[] = [
    { key: "at", head: t("databases.column.at"), cell: ({ measured_at }) => <Time value={measured_at} /> },
    { key: "table", head: t("databases.column.table"), cell: ({ database, table }) => <Quoted>{`${database}.${table}`}</Quoted> },
    { key: "state", head: t("operations.stateLabel"), cell: (write) => <WriteStatus write={write} /> },
    { key: "rows", head: t("databases.tabs.rows"), align: "right", cell: ({ affected_rows }) => affected_rows },
    { key: "statement", head: t("databases.column.statement"), spare: "md", cell: ({ statement }) => <Sql text={statement} /> },
    {
      key: "acts",
      head: t("databases.column.acts"),
      align: "right",
      cell: ({ id, table }) => (
        <Button look="quiet" aria-label={t("operations.detailsOf", { name: table })} onClick={() => onOpen(id)}>
          {t("operations.details")}
        </Button>
      ),
    },
  ];
  return <Table caption={t("databases.console.tabs.writes")} columns={columns} rows={writes} rowKey={({ id }) => id} />;
}
