/** One container: what it is, its logs, what it takes, what happened to it. The same acts as in the list. */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { lazy, Suspense, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { CommandLine } from "@/components/copy";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Empty, Skeleton } from "@/components/states";
import { Status } from "@/components/status";
import { visible } from "@/lib/hostile-text";
import { isProblem } from "@/lib/problem";

import { ContainerActs } from "./acts";
import { ContainerStatus } from "./container-status";
import { EngineNotice } from "./engine-notice";
import { EventsPanel } from "./events-panel";
import { useContainerNews } from "./news";
import { Overview } from "./overview";
import { containerQuery, containersQuery, logDownloadAddress } from "./requests";

// Of a first load, whoever looks at logs or charts pays for them.
const LogView = lazy(() => import("@/features/logs/log-view"));
const StatsPanels = lazy(() => import("./stats-panels"));

const route = getRouteApi("/containers/$name");
const TABS = ["overview", "logs", "stats", "events"] as const;

export function ContainerPage(): ReactNode {
  const { t } = useTranslation();
  const { name } = route.useParams();
  const { tab = "overview" } = route.useSearch();
  const query = useQuery(containerQuery(name));
  const { data: list } = useQuery(containersQuery);
  useContainerNews();
  const isStale = list !== undefined && list.engine.state !== "connected";
  const isGone = isProblem(query.error) && query.error.status === 404;
  return (
    <Page
      key={name}
      title={visible(name)}
      lead={
        <Link to="/containers" className="hover:underline">
          ← {t("pages.containers")}
        </Link>
      }
      aside={
        query.data && (
          <>
            {query.data.is_protected && <Status tone="warn">{t("containers.protected")}</Status>}
            <ContainerStatus container={query.data} isStale={isStale} />
            <ContainerActs container={query.data} isStale={isStale} withWords />
          </>
        )
      }
    >
      {list && <EngineNotice engine={list.engine} measuredAt={list.measured_at} />}
      {isGone ? (
        <Panel title={t("containers.gone")}>
          <Empty title={t("containers.goneWhat")}>{t("containers.goneWhy")}</Empty>
        </Panel>
      ) : (
        <>
          <nav aria-label={t("containers.views")} className="flex gap-1 overflow-x-auto border-b border-line">
            {TABS.map((each) => (
              <Link
                key={each}
                to="/containers/$name"
                params={{ name }}
                search={each === "overview" ? {} : { tab: each }}
                replace
                aria-current={tab === each ? "page" : undefined}
                className="target -mb-px border-b-2 border-transparent px-3 py-1.5 text-sm whitespace-nowrap text-muted hover:text-ink data-[now=true]:border-accent data-[now=true]:font-medium data-[now=true]:text-ink"
                data-now={tab === each}
              >
                {t(`containers.tabs.${each}`)}
              </Link>
            ))}
          </nav>
          {tab === "overview" && <QueryView query={query}>{(container) => <Overview container={container} />}</QueryView>}
          <Suspense fallback={<Skeleton />}>
          {tab === "logs" && <LogView key={name} names={[name]} epoch={query.data?.started_at ?? ""} download={logDownloadAddress(name)} />}
          {tab === "stats" && <StatsPanels key={name} name={name} epoch={query.data?.started_at ?? ""} />}
          </Suspense>
          {tab === "events" && <EventsPanel name={name} />}
        </>
      )}
      <CommandLine command={tab === "logs" ? `homeport containers logs ${name} --follow` : `homeport containers show ${name}`} />
    </Page>
  );
}
