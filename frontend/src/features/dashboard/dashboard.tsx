/** What is measured, with its time, and what happens now. Nothing is green that was not measured (ux.md rule 9). */

import { queryOptions, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { i18n } from "i18next";
import { TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import * as api from "@/api/sdk.gen";
import type { JobView, ReadingView } from "@/api/types.gen";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Status, type Tone } from "@/components/status";
import { Table, type Column } from "@/components/table";
import { MeasuredAt, Time } from "@/components/time";
import { sessionQuery } from "@/lib/session";
import { duration } from "@/lib/format";
import { visible } from "@/lib/hostile-text";
import { BACKGROUND } from "@/lib/transport";
import type en from "@/locales/en.json";

const dashboardQuery = queryOptions({
  queryKey: ["dashboard"],
  queryFn: ({ signal }) => api.readDashboard({ signal, headers: BACKGROUND }),
  refetchInterval: 15_000,
});

const TONES: Record<ReadingView["status"], Tone> = { ok: "good", not_connected: "idle", unknown: "unknown", warning: "warn", critical: "bad" };

/** What rooms and operations say of themselves comes from outside: features do not know each other. */
export function Dashboard({ summary, children }: { summary: ReactNode; children: ReactNode }): ReactNode {
  const { t } = useTranslation();
  const dashboard = useQuery(dashboardQuery);
  return (
    <Page title={t("pages.dashboard")} aside={dashboard.data && <MeasuredAt value={dashboard.data.at} />}>
      <SecondFactorAdvice />
      <div className="grid items-start gap-4 xl:grid-cols-2">
        {summary}
        <Panel title={t("dashboard.readings")}>
          <QueryView query={dashboard} rows={4}>
            {({ readings }) => (readings.length === 0 ? <Empty title={t("dashboard.noReadings")} /> : <Readings readings={readings} />)}
          </QueryView>
        </Panel>
        {children}
        <Panel title={t("dashboard.jobs")}>
          <QueryView query={dashboard} rows={4}>
            {({ jobs }) => (jobs.length === 0 ? <Empty title={t("dashboard.noJobs")} /> : <Jobs jobs={jobs} />)}
          </QueryView>
        </Panel>
      </div>
    </Page>
  );
}

function SecondFactorAdvice(): ReactNode {
  const { t } = useTranslation();
  const { data } = useQuery(sessionQuery);
  if (!data?.session || data.has_second_factor) return null;
  return (
    <p className="flex flex-wrap items-center gap-x-3 gap-y-1 rounded-lg border border-l-4 border-line border-l-warn bg-panel px-3 py-2 text-sm">
      <span className="flex items-center gap-1.5 text-warn">
        <TriangleAlert size={15} aria-hidden className="shrink-0" />
        {t("dashboard.noSecondFactor")}
      </span>
      <Link to="/account" className="underline">
        {t("dashboard.addSecondFactor")}
      </Link>
    </p>
  );
}

function Readings({ readings }: { readings: readonly ReadingView[] }): ReactNode {
  const { t, i18n } = useTranslation();
  const columns: readonly Column<ReadingView>[] = [
    {
      key: "name",
      head: t("dashboard.probe"),
      cell: ({ name, detail }) => (
        <>
          {i18n.exists(`probe.${name}`) ? t(`probe.${name as keyof typeof en.probe}`) : ofOne(name, i18n)}
          {detail && (
            <span lang="en" className="block text-xs text-muted">
              <Quoted>{detail}</Quoted>
            </span>
          )}
        </>
      ),
    },
    { key: "status", head: t("operations.stateLabel"), cell: ({ status }) => <Status tone={TONES[status]}>{t(`reading.${status}`)}</Status> },
    {
      key: "value",
      head: t("settings.value"),
      align: "right",
      cell: ({ value, unit, limit, status }) => (
        <span className={status === "unknown" ? "text-unknown" : ""}>
          {value === null ? "–" : `${value} ${unit}`}
          {limit && (
            <span lang="en" className="block text-xs text-muted">
              {limit}
            </span>
          )}
        </span>
      ),
    },
    { key: "at", head: t("dashboard.measured"), cell: ({ measured_at }) => (measured_at ? <Time value={measured_at} /> : "–"), spare: "md" },
  ];
  return <Table caption={t("dashboard.readings")} columns={columns} rows={readings} rowKey={({ name }) => name} />;
}

/** A probe of one thing of several, such as databases:blog-connections: its room's word for what is measured, and the thing. */
function ofOne(name: string, texts: i18n): string {
  const [, room, one, what] = /^(\w+):(.+)-(\w+)$/.exec(name) ?? [];
  const word = texts.getResource(texts.language, "translation", `probe.${room}:*-${what}`) as string | undefined;
  return one && word ? `${word} (${visible(one)})` : visible(name);
}

function Jobs({ jobs }: { jobs: readonly JobView[] }): ReactNode {
  const { t } = useTranslation();
  const columns: readonly Column<JobView>[] = [
    {
      key: "name",
      head: t("dashboard.job"),
      cell: ({ name, last_error }) => (
        <>
          <code className="font-mono text-[0.92em]">{name}</code>
          {last_error && (
            <span className="block text-xs text-bad">
              <Quoted>{last_error}</Quoted>
            </span>
          )}
        </>
      ),
    },
    {
      key: "state",
      head: t("operations.stateLabel"),
      cell: ({ is_running, last_at, last_error }) => (
        <Status tone={is_running ? "running" : last_error ? "bad" : last_at ? "good" : "idle"}>
          {t(is_running ? "operations.state.running" : last_error ? "operations.state.failed" : last_at ? "operations.state.done" : "dashboard.notYet")}
        </Status>
      ),
    },
    { key: "last", head: t("dashboard.lastRun"), cell: ({ last_at }) => (last_at ? <Time value={last_at} /> : "–") },
    { key: "every", head: t("dashboard.every"), align: "right", cell: ({ every_s }) => duration(every_s), spare: "md" },
  ];
  return <Table caption={t("dashboard.jobs")} columns={columns} rows={jobs} rowKey={({ name }) => name} />;
}
