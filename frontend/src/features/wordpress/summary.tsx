/** The room in a few lines, for the dashboard: how many sites are up, and which of them somebody should look at. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Status } from "@/components/status";

import { useSiteNews } from "./news";
import { reachQuery, sitesQuery, type SiteReachList, type WordPressOverview } from "./requests";
import { hasUpdates, isDown, isUp, needsAttention, Reach, SiteStatus } from "./site-status";

const SHOWN = 5; // of those that somebody should look at

export function WordPressSummary(): ReactNode {
  const { t } = useTranslation();
  const sites = useQuery(sitesQuery);
  const reach = useQuery(reachQuery);
  useSiteNews();
  return (
    <Panel title={t("pages.wordpress")}>
      <QueryView query={sites} rows={3}>
        {(overview) => <Summary overview={overview} reach={reach.data?.sites ?? []} />}
      </QueryView>
    </Panel>
  );
}

function Summary({ overview: { is_connected, sites }, reach }: { overview: WordPressOverview; reach: SiteReachList["sites"] }): ReactNode {
  const { t } = useTranslation();
  if (sites.length === 0) {
    return (
      <p className="p-3 text-sm">
        <Status tone="idle">{t(is_connected ? "wordpress.empty" : "wordpress.notConnected")}</Status>
      </p>
    );
  }
  const up = reach.filter(isUp).length;
  const isKnown = reach.some((each) => isUp(each) || isDown(each));
  const down = new Set(reach.filter(isDown).map(({ site }) => site));
  const attention = sites.filter((site) => down.has(site.name) || needsAttention(site));
  const updates = sites.filter(hasUpdates).length;
  return (
    <div className="flex flex-col gap-2 p-3">
      <p className={`text-2xl font-semibold ${isKnown ? "" : "text-unknown"}`}>
        {isKnown ? up : t("common.unknown")} <span className="text-sm font-normal text-muted">{t("wordpress.upOf", { count: sites.length })}</span>
      </p>
      {!is_connected ? (
        <Status tone="idle">{t("wordpress.notConnected")}</Status>
      ) : attention.length > 0 ? (
        <ul className="divide-y divide-line text-[0.8125rem]">
          {attention.slice(0, SHOWN).map((site) => (
            <li key={site.name} className="flex flex-wrap items-center justify-between gap-x-3 gap-y-1 py-1.5">
              <Link to="/wordpress/sites/$site" params={{ site: site.name }} className="font-medium hover:underline">
                <Quoted>{site.name}</Quoted>
              </Link>
              {down.has(site.name) ? <Reach site={site.name} /> : <SiteStatus site={site} />}
            </li>
          ))}
          {attention.length > SHOWN && (
            <li className="py-1.5">
              <Link to="/wordpress" search={{ show: "trouble" }} className="underline">
                {t("wordpress.count", { count: attention.length })}
              </Link>
            </li>
          )}
        </ul>
      ) : (
        isKnown && <Status tone="good">{t("wordpress.noTrouble")}</Status>
      )}
      {updates > 0 && (
        <Link to="/wordpress" search={{ show: "updates" }} className="self-start text-sm underline">
          {t("wordpress.withUpdates", { count: updates })}
        </Link>
      )}
    </div>
  );
}
