/** Queries that took long, as far as the server keeps them; where it keeps none, that is said. */

import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Table, type Column } from "@/components/table";
import { Time } from "@/components/time";

import { slowQuery, type SlowList, type SlowQuery } from "./requests";
import { Sql } from "./sql";

export default function SlowPanel({ server }: { server: string }): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(slowQuery(server));
  return (
    <Panel title={t("databases.tabs.slow")} aside={query.data && <Source list={query.data} />}>
      <QueryView query={query}>
        {({ source, detail, queries }) =>
          source === "unknown" ? (
            <Empty title={t("databases.slow.unknown")}>
              <p>{t("databases.slow.unknownWhy")}</p>
              {detail && (
                <blockquote lang="en" className="mt-2 border-l-2 border-edge pl-2 text-xs">
                  <Quoted>{detail}</Quoted>
                </blockquote>
              )}
            </Empty>
          ) : queries.length === 0 ? (
            <Empty title={t("databases.slow.empty")}>{t("databases.slow.emptyWhy")}</Empty>
          ) : (
            <SlowTable server={server} queries={queries} />
          )
        }
      </QueryView>
    </Panel>
  );
}

function Source({ list: { source, threshold_s } }: { list: SlowList }): ReactNode {
  const { t } = useTranslation();
  return (
    <span className="text-xs text-muted">
      {t(`databases.slow.source.${source}`)}
      {threshold_s !== null && ` · ${t("databases.slow.threshold", { seconds: threshold_s })}`}
    </span>
  );
}

function SlowTable({ server, queries }: { server: string; queries: readonly SlowQuery[] }): ReactNode {
  const { t } = useTranslation();
  const columns: readonly Column<SlowQuery>[] = [
    { key: "at", head: t("databases.column.at"), cell: ({ at }) => (at === null ? "–" : <Time value={at} />) },
    { key: "seconds", head: t("databases.column.took"), align: "right", cell: ({ seconds }) => <span className="whitespace-nowrap">{t("databases.seconds", { seconds: Math.round(seconds * 1000) / 1000 })}</span> },
    { key: "count", head: t("databases.column.count"), align: "right", spare: "lg", cell: ({ count }) => count },
    { key: "rows", head: t("databases.column.examined"), align: "right", spare: "lg", cell: ({ rows_sent, rows_examined }) => `${rows_sent ?? "–"} / ${rows_examined ?? "–"}` },
    { key: "database", head: t("databases.column.database"), spare: "md", cell: ({ database }) => (database === null ? "–" : <Quoted>{database}</Quoted>) },
    { key: "statement", head: t("databases.column.statement"), cell: ({ statement }) => <Sql text={statement} /> },
  ];
  const numbered = queries.map((each, index) => ({ ...each, index })); // the same query may be there twice
  return <Table caption={t("databases.slow.of", { server })} columns={columns} rows={numbered} rowKey={({ index }) => index} />;
}
