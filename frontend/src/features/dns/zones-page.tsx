/** All zones: how many records each has, how old that is, what has drifted; and what was applied in part. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { ConnectionNotice } from "@/components/cloudflare-notice";
import { CommandLine } from "@/components/copy";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Status } from "@/components/status";
import { Table, type Column } from "@/components/table";

import { useDnsNews } from "./news";
import { dnsQuery, type DnsOverview, type ZoneView } from "./requests";
import { DnsTabs } from "./tabs";
import { UnfinishedNotices } from "./unfinished";
import { isDriftKnown, ReadAt, ZoneStatus } from "./zone-state";

export function ZonesPage(): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(dnsQuery);
  useDnsNews();
  return (
    <Page title={t("pages.dns")}>
      <DnsTabs now="zones" />
      <QueryView query={query}>{(overview) => <Zones overview={overview} />}</QueryView>
      <CommandLine command="homeport dns zones" />
    </Page>
  );
}

function Zones({ overview: { connection, zones, unfinished } }: { overview: DnsOverview }): ReactNode {
  const { t } = useTranslation();
  const newest = zones.reduce<string | null>((last, { read_at }) => (read_at !== null && (last === null || read_at > last) ? read_at : last), null);
  return (
    <div className="flex flex-col gap-4">
      <ConnectionNotice connection={connection} readAt={newest} />
      <UnfinishedNotices unfinished={unfinished} />
      {zones.length > 0 ? (
        <Panel title={t("dns.zones.title")} aside={<span className="text-xs text-muted">{t("dns.zones.count", { count: zones.length })}</span>}>
          <ZonesTable zones={zones} />
        </Panel>
      ) : (
        connection.state === "connected" && (
          <Panel title={t("dns.zones.title")}>
            <Empty title={t("dns.zones.empty")}>{t("dns.zones.emptyWhy")}</Empty>
          </Panel>
        )
      )}
    </div>
  );
}

function ZonesTable({ zones }: { zones: readonly ZoneView[] }): ReactNode {
  const { t } = useTranslation();
  const columns: readonly Column<ZoneView>[] = [
    {
      key: "name",
      head: t("dns.zones.name"),
      cell: ({ name, unicode_name, is_mail_domain }) => (
        <>
          <Link to="/dns/$zone" params={{ zone: name }} className="font-medium hover:underline">
            <Quoted>{unicode_name}</Quoted>
          </Link>
          {unicode_name !== name && (
            <span className="block text-xs text-muted">
              <Quoted mono>{name}</Quoted>
            </span>
          )}
          {is_mail_domain && <span className="block text-xs text-muted">{t("dns.zones.mail")}</span>}
        </>
      ),
    },
    { key: "status", head: t("dns.zones.status"), cell: (zone) => <ZoneStatus zone={zone} /> },
    { key: "records", head: t("dns.zones.records"), align: "right", cell: ({ records }) => (records === null ? <span className="text-unknown">{t("common.unknown")}</span> : records) },
    {
      key: "drift",
      head: t("dns.drift.title"),
      cell: (zone) =>
        zone.drift > 0 ? (
          <Link to="/dns/$zone/history" params={{ zone: zone.name }} className="underline">
            <Status tone="warn">{t("dns.drift.count", { count: zone.drift })}</Status>
          </Link>
        ) : isDriftKnown(zone) ? (
          <span className="text-muted">{t("dns.drift.none")}</span>
        ) : (
          <span className="text-unknown">{t("common.unknown")}</span>
        ),
    },
    { key: "read", head: t("dns.zones.read"), spare: "md", cell: (zone) => <ReadAt zone={zone} /> },
    { key: "servers", head: t("dns.zones.servers"), spare: "xl", cell: ({ name_servers }) => <Quoted mono>{name_servers.join(" ")}</Quoted> },
  ];
  return <Table caption={t("dns.zones.title")} columns={columns} rows={zones} rowKey={({ name }) => name} />;
}
