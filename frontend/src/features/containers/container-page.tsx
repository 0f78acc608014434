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
import { tabLook, Tabs } from "@/components/tabs";
import { visible } from "@/lib/hostile-text";
import { isProblem } from "@/lib/problem";

import { ContainerActs } from "./acts";
import { ContainerStatus } from "./container-status";
import { EngineNotice } from "./engine-notice";
import { EventsPanel } from "./events-panel";
import { useContainerNews } from "./news";
import { Overview } from "./overview";
import { containerQuery, containersQuery, keptLogsQuery, logDownloadAddress } from "./requests";

// Of a first load, whoever looks at logs or charts pays for them.
const LogView = lazy(() => import("@/components/logs/log-view"));
const KeptLogsTable = lazy(async () => ({ default: (await import("./removed-panel")).KeptLogsTable }));
const StatsPanels = lazy(() => import("./stats-panels"));

const route = getRouteApi("/containers/$name");
const TABS = ["overview", "logs", "stats", "events"] as const;

export function ContainerPage(): ReactNode {
  const { t } = useTranslation();
  const { name } = route.useParams();
  const { tab = "overview", ask = null } = route.useSearch();
  const navigate = route.useNavigate();
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
            <ContainerActs
              container={query.data}
              isStale={isStale}
              asked={ask}
              onAsk={(act) => void navigate({ search: (now) => ({ ...now, ask: act ?? undefined }), replace: true })}
              withWords
            />
          </>
        )
      }
    >
      {list && <EngineNotice engine={list.engine} measuredAt={list.measured_at} />}
      {isGone ? (
        <Gone name={name} />
      ) : (
        <>
          <Tabs label={t("containers.views")}>
            {TABS.map((each) => (
              <Link
                key={each}
                to="/containers/$name"
                params={{ name }}
                search={each === "overview" ? {} : { tab: each }}
                replace
                {...tabLook(tab === each)}
              >
                {t(`containers.tabs.${each}`)}
              </Link>
            ))}
          </Tabs>
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

/** What was there once: its last lines may be kept. */
function Gone({ name }: { name: string }): ReactNode {
  const { t } = useTranslation();
  const { data } = useQuery(keptLogsQuery);
  const kept = data?.logs.filter((each) => each.name === name) ?? [];
  return (
    <>
      <Panel title={t("containers.gone")}>
        <Empty title={t("containers.goneWhat")}>{t("containers.goneWhy")}</Empty>
      </Panel>
      {kept.length > 0 && (
        <Panel title={t("containers.removed.title")}>
          <Suspense fallback={<Skeleton rows={kept.length} />}>
            <KeptLogsTable logs={kept} />
          </Suspense>
        </Panel>
      )}
    </>
  );
}
