/** What was run and what drills have proved, newest first. */

import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { CommandLine } from "@/components/copy";
import { Panel } from "@/components/panel";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Status } from "@/components/status";
import { Table, type Column } from "@/components/table";
import { Time } from "@/components/time";
import { duration } from "@/lib/format";
import type texts from "@/locales/backups/en.json";

import { RunBy, RunStatus, useAssetName } from "./badges";
import { flatOf } from "./judge";
import { StepVerb } from "./pending-panel";
import type { DrillView, Known, RunView } from "./requests";

export default function HistoryPanel({ runs, drills }: Pick<Known, "runs" | "drills">): ReactNode {
  const { t } = useTranslation();
  return (
    <div className="flex flex-col gap-4">
      <Panel title={t("backups.runs.title")}>{runs.length === 0 ? <Empty title={t("backups.runs.empty")}>{t("backups.runs.emptyWhy")}</Empty> : <RunsTable runs={runs} />}</Panel>
      <Panel title={t("backups.drills.title")}>
        {drills.length === 0 ? <Empty title={t("backups.drills.empty")}>{t("backups.drills.emptyWhy")}</Empty> : <DrillsTable drills={drills} />}
      </Panel>
      <CommandLine command="homeport backups list" />
    </div>
  );
}

function RunsTable({ runs }: { runs: readonly RunView[] }): ReactNode {
  const { t } = useTranslation();
  const columns: readonly Column<RunView>[] = [
    {
      key: "verb",
      head: t("backups.runs.verb"),
      cell: ({ id, verb, summary }) => (
        <span className="inline-block min-w-28">
          <Link to="/backups/runs/$id" params={{ id }} className="font-medium hover:underline">
            <StepVerb verb={verb} />
          </Link>
          {summary && (
            <span lang="en" className="block text-xs text-muted">
              <Quoted>{summary}</Quoted>
            </span>
          )}
        </span>
      ),
    },
    { key: "result", head: t("backups.runs.result"), cell: (run) => <RunStatus run={run} /> },
    { key: "by", head: t("backups.runs.by"), cell: ({ by }) => <RunBy by={by} />, spare: "md" },
    { key: "started", head: t("backups.runs.started"), cell: ({ started_at }) => <Time value={started_at} absolute />, spare: "md" },
    {
      key: "took",
      head: t("backups.took"),
      align: "right",
      cell: ({ started_at, ended_at }) => (ended_at ? <span className="whitespace-nowrap">{duration((Date.parse(ended_at) - Date.parse(started_at)) / 1000)}</span> : ""),
      spare: "lg",
    },
  ];
  return <Table caption={t("backups.runs.title")} columns={columns} rows={runs} rowKey={({ id }) => id} />;
}

export function DrillsTable({ drills }: { drills: readonly DrillView[] }): ReactNode {
  const { t, i18n } = useTranslation();
  const nameOf = useAssetName();
  const columns: readonly Column<DrillView>[] = [
    {
      key: "asset",
      head: t("backups.drills.asset"),
      cell: ({ asset_kind, asset, detail }) => (
        <span className="inline-block min-w-32">
          <span className="quoted font-medium">{nameOf({ kind: asset_kind, name: asset })}</span>
          {detail && (
            <span lang="en" className="block text-xs text-muted">
              <Quoted>{detail}</Quoted>
            </span>
          )}
        </span>
      ),
    },
    { key: "ok", head: t("backups.runs.result"), cell: ({ ok }) => <Status tone={ok ? "good" : "bad"}>{t(ok ? "backups.drills.ok" : "backups.drills.failed")}</Status> },
    { key: "at", head: t("backups.drills.at"), cell: ({ at }) => <Time value={at} absolute />, spare: "md" },
    {
      key: "point",
      head: t("backups.point"),
      cell: ({ point }) => (
        <Link to="/backups/points/$flat" params={{ flat: flatOf(point) }} className="hover:underline">
          <Quoted>{point}</Quoted>
        </Link>
      ),
      spare: "lg",
    },
    {
      key: "origin",
      head: t("backups.drills.origin"),
      cell: ({ origin }) => (i18n.exists(`backups.origin.${origin}`) ? t(`backups.origin.${origin as keyof typeof texts.backups.origin}`) : <Quoted>{origin}</Quoted>),
      spare: "md",
    },
    { key: "took", head: t("backups.took"), align: "right", cell: ({ seconds }) => <span className="whitespace-nowrap">{duration(seconds)}</span>, spare: "md" },
    {
      key: "projected",
      head: t("backups.drills.projected"),
      align: "right",
      cell: ({ projected_seconds }) => <span className="whitespace-nowrap">{projected_seconds === null ? "–" : duration(projected_seconds)}</span>,
    },
  ];
  return <Table caption={t("backups.drills.title")} columns={columns} rows={drills} rowKey={({ at, asset_kind, asset, origin }) => `${at} ${asset_kind} ${asset} ${origin}`} />;
}
