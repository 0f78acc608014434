import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Status, type Tone } from "@/components/status";
import { Table, type Column } from "@/components/table";
import { Time } from "@/components/time";

import { containerEventsQuery, type EventView } from "./requests";

export function EventsPanel({ name }: { name: string }): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(containerEventsQuery(name));
  const columns: readonly Column<EventView>[] = [
    { key: "at", head: t("audit.time"), cell: ({ at }) => <Time value={at} absolute /> },
    {
      key: "what",
      head: t("containers.events.what"),
      cell: (event) => (
        <Status tone={toneOf(event)}>
          <Quoted mono>{event.action}</Quoted>
        </Status>
      ),
    },
    {
      key: "detail",
      head: t("audit.detail"),
      cell: ({ exit_code, signal, health }) => (
        <span className="text-muted">{[exit_code === null ? "" : t("containers.exitedWith", { code: exit_code }), signal ? t("containers.events.signal", { signal }) : "", health ?? ""].filter(Boolean).join(" · ")}</span>
      ),
    },
  ];
  return (
    <Panel title={t("containers.tabs.events")}>
      <QueryView query={query}>
        {({ events }) =>
          events.length === 0 ? (
            <Empty title={t("containers.events.none")}>{t("containers.events.noneWhy")}</Empty>
          ) : (
            <Table caption={t("containers.tabs.events")} columns={columns} rows={events} rowKey={({ id }) => id} />
          )
        }
      </QueryView>
    </Panel>
  );
}

function toneOf({ action, exit_code, health }: EventView): Tone {
  if (action === "oom" || health === "unhealthy" || (action === "die" && exit_code !== 0 && exit_code !== null)) return "bad";
  if (action === "start" || health === "healthy") return "good";
  return "idle";
}
