/** The room in a few lines, for the dashboard: is last night's point verified, until when can nobody delete it. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Fact, Facts, Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Status } from "@/components/status";
import { MeasuredAt, Time } from "@/components/time";
import { useNow } from "@/lib/clock";

import { AttentionList } from "./attention-panel";
import { PointStatus } from "./badges";
import { attention, flatOf, troubleOf } from "./judge";
import { useBackupNews } from "./news";
import { BackupsNotice } from "./notice";
import { backupsQuery, isKnown, type Known } from "./requests";

export function BackupsSummary(): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(backupsQuery);
  useBackupNews();
  return (
    <Panel title={t("pages.backups")} aside={query.data?.written_at && <MeasuredAt value={query.data.written_at} />}>
      <QueryView query={query} rows={4}>
        {(overview) =>
          overview.state === "fresh" && isKnown(overview) ? (
            <Summary overview={overview} />
          ) : (
            <div className="p-3">
              <BackupsNotice overview={overview} />
            </div>
          )
        }
      </QueryView>
    </Panel>
  );
}

function Summary({ overview }: { overview: Known }): ReactNode {
  const { t } = useTranslation();
  const found = attention(overview, useNow());
  const newest = overview.points.find((point) => point.kind !== "manual" && point.is_local && troubleOf(point) === null);
  const kept = overview.points.find(({ vault }) => vault !== null)?.vault;
  return (
    <>
      <Facts>
        <Fact name={t("backups.summary.newest")}>
          {newest ? (
            <span className="flex flex-wrap items-center gap-x-3">
              <Link to="/backups/points/$flat" params={{ flat: flatOf(newest.id) }} className="font-medium hover:underline">
                <Quoted>{newest.id}</Quoted>
              </Link>
              <PointStatus point={newest} />
            </span>
          ) : (
            t("backups.meter.never")
          )}
        </Fact>
        <Fact name={t("backups.protectedUntil")}>{kept ? <Time value={kept.protected_until} absolute /> : t(overview.vault.state === "off" ? "backups.meter.off" : "backups.notInVault")}</Fact>
      </Facts>
      <div className="border-t border-line">
        {found.length === 0 ? (
          <p className="px-3 py-2 text-sm">
            <Status tone="good">{t("backups.attention.none")}</Status>
          </p>
        ) : (
          <AttentionList found={found} />
        )}
      </div>
    </>
  );
}
