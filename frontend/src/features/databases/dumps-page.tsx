/** Dumps that the portal keeps: made before a drop or a load, or asked for; each is removed after its time. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Download } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { buttonLook } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Table, type Column } from "@/components/table";
import { Time } from "@/components/time";
import { bytes } from "@/lib/format";
import { visible } from "@/lib/hostile-text";

import { useDatabaseNews } from "./news";
import { dumpsQuery, keptDumpAddress, type DumpView } from "./requests";
import { RoomTabs } from "./tabs";

export function DumpsPage(): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(dumpsQuery);
  useDatabaseNews();
  return (
    <Page title={t("databases.dumps.title")}>
      <RoomTabs now="dumps" />
      <Panel title={t("databases.tabs.dumps")}>
        <QueryView query={query}>
          {({ dumps }) => (dumps.length === 0 ? <Empty title={t("databases.dumps.empty")}>{t("databases.dumps.emptyWhy")}</Empty> : <Dumps dumps={dumps} />)}
        </QueryView>
      </Panel>
      <CommandLine command="homeport db dumps" />
    </Page>
  );
}

function Dumps({ dumps }: { dumps: readonly DumpView[] }): ReactNode {
  const { t } = useTranslation();
  const columns: readonly Column<DumpView>[] = [
    {
      key: "database",
      head: t("databases.column.database"),
      cell: ({ server, database }) => (
        <Link to="/databases/$server/$database" params={{ server, database }} className="hover:underline">
          <Quoted>{`${server}/${database}`}</Quoted>
        </Link>
      ),
    },
    { key: "why", head: t("databases.dumps.why"), cell: ({ why }) => t(`databases.dumps.because.${why}`) },
    { key: "made", head: t("databases.dumps.made"), cell: ({ made_at }) => <Time value={made_at} absolute /> },
    { key: "until", head: t("databases.dumps.until"), spare: "md", cell: ({ kept_until }) => <Time value={kept_until} /> },
    { key: "tables", head: t("databases.column.tables"), align: "right", spare: "md", cell: ({ tables }) => tables },
    { key: "size", head: t("databases.column.size"), align: "right", cell: (each) => <span className="whitespace-nowrap">{bytes(each.bytes)}</span> },
    {
      key: "acts",
      head: t("databases.column.acts"),
      align: "right",
      cell: ({ id, server, database }) => (
        <a href={keptDumpAddress(id)} download aria-label={t("databases.dumps.download", { name: visible(`${server}/${database}`) })} className={buttonLook("quiet", "!px-1")}>
          <Download size={15} aria-hidden />
        </a>
      ),
    },
  ];
  return <Table caption={t("databases.dumps.title")} columns={columns} rows={dumps} rowKey={({ id }) => id} />;
}
