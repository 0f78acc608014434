/**
 * The backups room: whether last night's point is verified and until when nobody can delete it, what needs somebody,
 * every point there is; beside it what is kept at all, and what was run and proved.
 */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { RotateCcw } from "lucide-react";
import { lazy, Suspense, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { buttonLook } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { Page } from "@/components/page";
import { QueryView } from "@/components/query-view";
import { Skeleton } from "@/components/states";
import { tabLook, Tabs } from "@/components/tabs";
import { MeasuredAt } from "@/components/time";

import { BackupActs } from "./acts";
import { AttentionPanel } from "./attention-panel";
import { CalendarPanel } from "./calendar";
import { Meters } from "./meters";
import { useBackupNews } from "./news";
import { BackupsNotice } from "./notice";
import { PendingPanel } from "./pending-panel";
import { PointsPanel } from "./points-panel";
import { backupsQuery, isKnown, type Known } from "./requests";
import { RepositoryPanel, SchedulePanel, VaultPanel } from "./store-panels";

const CoveragePanel = lazy(() => import("./coverage-panel"));
const HistoryPanel = lazy(() => import("./history-panel"));

const route = getRouteApi("/backups");
const TABS = ["overview", "coverage", "history"] as const;

export function BackupsPage(): ReactNode {
  const { t } = useTranslation();
  const { tab = "overview", ask = null } = route.useSearch();
  const navigate = route.useNavigate();
  const query = useQuery(backupsQuery);
  useBackupNews();
  const known = query.data && isKnown(query.data) ? query.data : null;
  return (
    <Page
      title={t("pages.backups")}
      aside={
        known && (
          <>
            {known.written_at && <MeasuredAt value={known.written_at} />}
            {known.points.length > 0 && (
              <Link to="/backups/restore" className={buttonLook()}>
                <RotateCcw size={14} aria-hidden />
                {t("backups.restore.verb")}
              </Link>
            )}
            <BackupActs overview={known} asked={ask} onAsk={(act) => void navigate({ search: (now) => ({ ...now, ask: act ?? undefined }), replace: true })} />
          </>
        )
      }
    >
      {known && (
        <Tabs label={t("backups.views")}>
          {TABS.map((each) => (
            <Link key={each} to="/backups" search={each === "overview" ? {} : { tab: each }} replace {...tabLook(tab === each)}>
              {t(`backups.tabs.${each}`)}
            </Link>
          ))}
        </Tabs>
      )}
      <QueryView query={query} rows={12}>
        {(overview) => (
          <div className="flex flex-col gap-4">
            <BackupsNotice overview={overview} />
            <PendingPanel pending={overview.pending} />
            {known && <View overview={known} />}
          </div>
        )}
      </QueryView>
    </Page>
  );
}

function View({ overview }: { overview: Known }): ReactNode {
  const { tab = "overview", find = "", show } = route.useSearch();
  const navigate = route.useNavigate();
  const isStale = overview.state !== "fresh";
  return (
    <Suspense fallback={<Skeleton />}>
      {tab === "overview" && (
        <>
          {!isStale && <AttentionPanel overview={overview} />}
          <Meters overview={overview} isStale={isStale} />
          <div className="grid items-start gap-4 lg:grid-cols-2">
            <div className="flex min-w-0 flex-col gap-4">
              <CalendarPanel overview={overview} />
              <SchedulePanel schedule={overview.schedule} runs={overview.runs} />
            </div>
            <div className="flex min-w-0 flex-col gap-4">
              <VaultPanel vault={overview.vault} isStale={isStale} />
              <RepositoryPanel repository={overview.repository} local={overview.local} isStale={isStale} />
            </div>
          </div>
          <PointsPanel points={overview.points} />
          <CommandLine command="homeport backups status" />
        </>
      )}
      {tab === "coverage" && <CoveragePanel assets={overview.assets} find={find} show={show} onFilter={(filter) => void navigate({ search: (now) => ({ ...now, find: undefined, show: undefined, ...filter }), replace: true })} />}
      {tab === "history" && <HistoryPanel runs={overview.runs} drills={overview.drills} />}
    </Suspense>
  );
}
