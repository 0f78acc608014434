/** What a container that is gone has left: which it was, and its last lines. */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { lazy, Suspense, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { CommandLine, CopyButton } from "@/components/copy";
import { Page } from "@/components/page";
import { Fact, Facts, Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty, Skeleton } from "@/components/states";
import { Time } from "@/components/time";
import { visible } from "@/lib/hostile-text";

import { containersQuery, keptLogsQuery, type KeptLog } from "./requests";

const LogView = lazy(() => import("@/components/logs/log-view"));

const route = getRouteApi("/containers/removed/$id");

export function RemovedPage(): ReactNode {
  const { t } = useTranslation();
  const { id } = route.useParams();
  const query = useQuery(keptLogsQuery);
  const kept = query.data?.logs.find((each) => each.id === id);
  return (
    <Page
      key={id}
      title={kept ? visible(kept.name) : t("containers.removed.title")}
      lead={
        <Link to="/containers" search={{ tab: "removed" }} className="hover:underline">
          ← {t("containers.removed.title")}
        </Link>
      }
    >
      <QueryView query={query}>
        {() =>
          kept ? (
            <Kept kept={kept} />
          ) : (
            <Panel title={t("containers.gone")}>
              <Empty title={t("containers.removed.none")}>{t("containers.removed.noneWhy")}</Empty>
            </Panel>
          )
        }
      </QueryView>
      <CommandLine command={`homeport containers kept-logs ${id}`} />
    </Page>
  );
}

function Kept({ kept }: { kept: KeptLog }): ReactNode {
  const { t } = useTranslation();
  const { data: list } = useQuery(containersQuery);
  const successor = list?.containers.find(({ name }) => name === kept.name);
  return (
    <div className="flex flex-col gap-4">
      <Suspense fallback={<Skeleton />}>
        <LogView key={kept.id} names={[kept.name]} keptId={kept.id} epoch="" />
      </Suspense>
      <Panel
        title={t("containers.removed.which")}
        aside={
          successor && (
            <Link to="/containers/$name" params={{ name: successor.name }} className="text-sm underline">
              {t("containers.removed.successor")}
            </Link>
          )
        }
      >
        <Facts>
          <Fact name={t("containers.overview.stack")}>
            <Quoted>{kept.stack}</Quoted> · <Quoted>{kept.service}</Quoted>
          </Fact>
          <Fact name={t("containers.removed.at")}>{kept.removed_at ? <Time value={kept.removed_at} absolute /> : <span className="text-unknown">{t("containers.removed.unheard")}</span>}</Fact>
          <Fact name={t("containers.overview.image")}>
            <Quoted>{kept.image}</Quoted>
            <span className="flex items-start gap-1 text-xs text-muted">
              <Quoted mono>{kept.image_id}</Quoted>
              <CopyButton text={kept.image_id} />
            </span>
          </Fact>
        </Facts>
      </Panel>
    </div>
  );
}
