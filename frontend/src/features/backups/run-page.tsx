/** One run of the backup, whoever began it: its steps with their times, how far it is, what it said, how it ended. */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { OperationResult } from "@/components/operation-result";
import { Page } from "@/components/page";
import { Fact, Facts, Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Status } from "@/components/status";
import { Time } from "@/components/time";
import { useNow } from "@/lib/clock";
import { absoluteTime, duration } from "@/lib/format";
import { isProblem } from "@/lib/problem";

import { RunBy, RunStatus } from "./badges";
import { runQuery, type RunLine, type RunLog } from "./requests";
import { Progress, StepName } from "./run-progress";

const route = getRouteApi("/backups/runs/$id");

export function RunPage(): ReactNode {
  const { t } = useTranslation();
  const { id } = route.useParams();
  const query = useQuery(runQuery(id));
  const isGone = isProblem(query.error) && query.error.status === 404;
  return (
    <Page
      key={id}
      title={t("backups.runPage.title", { id })}
      lead={
        <Link to="/backups" search={{ tab: "history" }} className="hover:underline">
          ← {t("backups.runs.title")}
        </Link>
      }
    >
      {isGone ? (
        <Panel title={t("backups.runPage.steps")}>
          <Empty title={t("backups.runPage.notKept")}>{t("backups.runPage.notKeptWhy")}</Empty>
        </Panel>
      ) : (
        <QueryView query={query}>{(log) => <Details log={log} />}</QueryView>
      )}
    </Page>
  );
}

function Details({ log: { state, lines } }: { log: RunLog }): ReactNode {
  const { t } = useTranslation();
  const now = useNow();
  const started = lines.find(({ type }) => type === "started");
  const ended = lines.findLast(({ type }) => type === "ended");
  const result = lines.findLast(({ type }) => type === "result")?.result ?? null;
  const progress = ended ? undefined : lines.findLast(({ type }) => type === "progress" || type === "step");
  const told = lines.filter(({ type }) => type === "step" || type === "note" || type === "warning");
  return (
    <div className="grid items-start gap-4 lg:grid-cols-[minmax(20rem,1fr)_2fr]">
      <div className="flex min-w-0 flex-col gap-4">
        <Panel title={t("operations.what")}>
          <Facts>
            <Fact name={t("operations.stateLabel")}>
              <span aria-live="polite">
                {ended ? (
                  <RunStatus run={{ ended_at: ended.at, exit_code: ended.exit_code ?? null }} />
                ) : (
                  <Status tone="running">{t(state === "running" ? "operations.state.running" : "backups.pending.waiting")}</Status>
                )}
              </span>
              {progress?.type === "progress" && <Progress {...progress} />}
            </Fact>
            {started && (
              <>
                <Fact name={t("backups.runs.verb")}>
                  <Quoted mono>{started.verb ?? ""}</Quoted>
                </Fact>
                <Fact name={t("backups.runs.by")}>
                  <RunBy by={started.by ?? ""} />
                </Fact>
                <Fact name={t("backups.runs.started")}>
                  <Time value={started.at} absolute />
                </Fact>
                <Fact name={t("backups.took")}>{duration(((ended ? Date.parse(ended.at) : now) - Date.parse(started.at)) / 1000)}</Fact>
              </>
            )}
          </Facts>
          {ended?.error && (
            <p lang="en" role="alert" className="m-3 mt-0 border-l-4 border-bad pl-2 text-sm">
              <Quoted>{ended.error}</Quoted>
            </p>
          )}
        </Panel>
        <OperationResult result={result} />
      </div>
      <Panel title={t("backups.runPage.steps")}>
        {told.length === 0 ? (
          <p className="p-3 text-sm text-muted">{t("backups.runPage.noSteps")}</p>
        ) : (
          <ol className="flex flex-col divide-y divide-line text-sm">
            {told.map((line, number) => (
              // oxlint-disable-next-line react/no-array-index-key -- a record only grows
              <Line key={number} line={line} />
            ))}
          </ol>
        )}
      </Panel>
    </div>
  );
}

function Line({ line: { at, type, name, detail, text } }: { line: RunLine }): ReactNode {
  const details = Object.entries(detail ?? {}).map(([key, value]) => `${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`);
  return (
    <li className={`flex items-baseline gap-3 px-3 py-1 ${type === "step" ? "font-medium" : "text-[0.8125rem]"}`}>
      <time dateTime={at} className="shrink-0 font-mono text-xs font-normal text-muted">
        {absoluteTime(at, { zone: false }).slice(11)}
      </time>
      <span lang={type === "step" ? undefined : "en"} className={`min-w-0 ${type === "warning" ? "text-warn" : ""}`}>
        {type === "warning" && <TriangleAlert size={13} aria-hidden className="mr-1 inline" />}
        {type === "step" ? <StepName name={name ?? ""} /> : <Quoted>{text ?? ""}</Quoted>}
        {details.length > 0 && (
          <span lang="en" className="block text-xs font-normal text-muted">
            <Quoted>{details.join(" · ")}</Quoted>
          </span>
        )}
      </span>
    </li>
  );
}
