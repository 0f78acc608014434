/** The room in a few lines, for the dashboard: how much runs, and what somebody should look at. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Status } from "@/components/status";
import { MeasuredAt } from "@/components/time";

import { needsAttention } from "./attention";
import { ContainerStatus } from "./container-status";
import { EngineNotice } from "./engine-notice";
import { useContainerNews } from "./news";
import { containersQuery, type ContainerList } from "./requests";

export function ContainersSummary(): ReactNode {
  const { t } = useTranslation();
  const containers = useQuery(containersQuery);
  useContainerNews();
  return (
    <Panel title={t("pages.containers")} aside={containers.data?.measured_at && <MeasuredAt value={containers.data.measured_at} />}>
      <QueryView query={containers} rows={4}>
        {(data) => <Summary data={data} />}
      </QueryView>
    </Panel>
  );
}

function Summary({ data }: { data: ContainerList }): ReactNode {
  const { t } = useTranslation();
  const { containers, engine, measured_at } = data;
  if (engine.state === "not-configured" || (containers.length === 0 && engine.state !== "connected")) {
    return (
      <div className="p-3">
        <EngineNotice engine={engine} measuredAt={measured_at} />
      </div>
    );
  }
  const isStale = engine.state !== "connected";
  const running = containers.filter(({ state }) => state === "running").length;
  const attention = containers.filter(needsAttention);
  return (
    <div className="flex flex-col gap-2 p-3">
      <p className={`text-2xl font-semibold ${isStale ? "text-unknown" : ""}`}>
        {running} <span className="text-sm font-normal text-muted">{t("dashboard.runningOf", { all: containers.length })}</span>
      </p>
      {isStale ? (
        <Status tone="unknown">{t("common.unknown")}</Status>
      ) : attention.length === 0 ? (
        <Status tone={containers.length === 0 ? "idle" : "good"}>{t(containers.length === 0 ? "containers.empty" : "dashboard.noTrouble")}</Status>
      ) : (
        <ul className="divide-y divide-line text-[0.8125rem]">
          {attention.map((container) => (
            <li key={container.id} className="flex flex-wrap items-center justify-between gap-x-3 gap-y-1 py-1.5">
              <Link to="/containers/$name" params={{ name: container.name }} search={{ tab: "logs" }} className="font-medium hover:underline">
                <Quoted>{container.name}</Quoted>
              </Link>
              <ContainerStatus container={container} />
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
