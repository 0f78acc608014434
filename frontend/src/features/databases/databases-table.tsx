import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Status } from "@/components/status";
import { Table, type Column } from "@/components/table";
import { Time } from "@/components/time";
import { bytes } from "@/lib/format";

import type { DatabaseSummary, ServerView } from "./requests";

export function DatabasesTable({ server: { name: server }, databases }: { server: ServerView; databases: readonly DatabaseSummary[] }): ReactNode {
  const { t } = useTranslation();
  if (databases.length === 0) {
    return (
      <Empty title={t("databases.empty")}>
        <p>{t("databases.emptyWhy")}</p>
        <code className="block overflow-x-auto py-1 font-mono text-xs" tabIndex={0}>
          {String.raw`GRANT ALL PRIVILEGES ON ${"`wp\\_%`"}.* TO 'homeport_admin'@'%' WITH GRANT OPTION;`}
        </code>
      </Empty>
    );
  }
  const columns: readonly Column<DatabaseSummary>[] = [
    {
      key: "name",
      head: t("databases.column.name"),
      cell: ({ name, others }) => (
        <>
          <Link to="/databases/$server/$database" params={{ server, database: name }} className="font-medium hover:underline">
            <Quoted>{name}</Quoted>
          </Link>
          {others > 0 && (
            <span className="block text-xs">
              <Status tone="warn">{t("databases.others", { count: others })}</Status>
            </span>
          )}
        </>
      ),
    },
    { key: "owner", head: t("databases.column.owner"), cell: ({ owner }) => (owner ? <Quoted>{owner}</Quoted> : <span className="text-muted">–</span>) },
    { key: "tables", head: t("databases.column.tables"), align: "right", cell: ({ tables }) => tables },
    { key: "size", head: t("databases.column.size"), align: "right", cell: (each) => <span className="whitespace-nowrap">{bytes(each.bytes)}</span> },
    { key: "backup", head: t("databases.column.backup"), spare: "md", cell: ({ backed_up_at }) => <Age at={backed_up_at} /> },
    { key: "dump", head: t("databases.column.dump"), spare: "lg", cell: ({ dumped_at }) => <Age at={dumped_at} /> },
    { key: "collation", head: t("databases.column.collation"), spare: "xl", cell: ({ collation }) => <span className="font-mono text-[0.92em] text-muted">{collation}</span> },
  ];
  return <Table caption={t("databases.databasesOf", { server })} columns={columns} rows={databases} rowKey={({ name }) => name} />;
}

export function Age({ at }: { at: string | null | undefined }): ReactNode {
  const { t } = useTranslation();
  return at ? <Time value={at} /> : <span className="text-muted">{t("databases.never")}</span>;
}
