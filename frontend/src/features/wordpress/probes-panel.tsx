/** What is measured of a site, now and over the last days. */

import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Status } from "@/components/status";
import { Table } from "@/components/table";
import { Time } from "@/components/time";
import { visible } from "@/lib/hostile-text";

import { probesQuery, type SiteProbesView } from "./requests";
import { PROBE_TONES } from "./site-status";

const ROUNDS = 100; // of the history, newest first

export default function ProbesPanel({ site }: { site: string }): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(probesQuery(site));
  return (
    <QueryView query={query}>
      {({ probes, history }) => (
        <div className="flex flex-col gap-4">
          <Panel title={t("wordpress.probes.title")}>
            <Table
              caption={t("wordpress.probes.title")}
              rows={probes}
              rowKey={({ name }) => name}
              columns={[
                { key: "name", head: t("wordpress.column.name"), cell: ({ name }) => <ProbeName name={name} /> },
                { key: "status", head: t("wordpress.column.state"), cell: ({ status }) => <Status tone={PROBE_TONES[status]}>{t(`reading.${status}`)}</Status> },
                { key: "value", head: t("wordpress.probes.value"), align: "right", cell: ({ value, unit }) => (value === null ? "–" : <Quoted>{`${typeof value === "number" ? String(Math.round(value * 100) / 100) : value} ${unit}`.trim()}</Quoted>) },
                { key: "limit", head: t("wordpress.probes.limit"), spare: "md", cell: ({ limit }) => <Quoted>{limit}</Quoted> },
                {
                  key: "detail",
                  head: t("wordpress.probes.detail"),
                  spare: "md",
                  cell: ({ detail }) => (
                    <span lang="en">
                      <Quoted>{detail}</Quoted>
                    </span>
                  ),
                },
                { key: "at", head: t("wordpress.probes.at"), cell: ({ measured_at }) => (measured_at ? <Time value={measured_at} /> : "–") },
              ]}
            />
          </Panel>
          <Panel title={t("wordpress.probes.history")}>
            {history.length === 0 ? <Empty title={t("wordpress.probes.noHistory")} /> : <History history={history} />}
          </Panel>
        </div>
      )}
    </QueryView>
  );
}

function ProbeName({ name }: { name: string }): ReactNode {
  const { t, i18n } = useTranslation();
  const key = `wordpress.reach.${name}`;
  return i18n.exists(key) ? t(key as "wordpress.reach.origin") : visible(name);
}

function History({ history }: { history: SiteProbesView["history"] }): ReactNode {
  const { t } = useTranslation();
  return (
    <Table
      caption={t("wordpress.probes.history")}
      rows={history.toReversed().slice(0, ROUNDS)}
      rowKey={({ at }) => at}
      columns={[
        { key: "at", head: t("wordpress.probes.at"), cell: ({ at }) => <Time value={at} absolute /> },
        { key: "origin", head: t("wordpress.reach.origin"), cell: ({ is_origin_up, origin_ms }) => <Up isUp={is_origin_up} ms={origin_ms} /> },
        { key: "edge", head: t("wordpress.reach.edge"), cell: ({ is_edge_up, edge_ms }) => <Up isUp={is_edge_up} ms={edge_ms} /> },
        { key: "cached", head: t("wordpress.reach.cache"), spare: "md", cell: ({ is_cached }) => (is_cached === null ? "–" : t(is_cached ? "common.yes" : "common.no")) },
      ]}
    />
  );
}

function Up({ isUp, ms }: { isUp: boolean | null; ms: number | null }): ReactNode {
  const { t } = useTranslation();
  if (isUp === null) return "–";
  return (
    <Status tone={isUp ? "good" : "bad"}>
      {t(isUp ? "wordpress.probes.up" : "wordpress.probes.down")}
      {ms !== null && ` ${ms} ms`}
    </Status>
  );
}
