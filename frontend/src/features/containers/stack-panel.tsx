import { Link } from "@tanstack/react-router";
import { Lock, ScrollText } from "lucide-react";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { buttonLook } from "@/components/button";
import { Panel } from "@/components/panel";
import { Quoted } from "@/components/quoted";
import { useNow } from "@/lib/clock";
import { bytes, duration } from "@/lib/format";
import { visible } from "@/lib/hostile-text";

import { ContainerActs } from "./acts";
import { ContainerStatus } from "./container-status";
import type { ContainerAct, ContainerView } from "./requests";

const HEAD = "px-2 py-1.5 font-medium whitespace-nowrap";
const CELL = "px-2 py-[var(--row)]";

export function StackPanel({
  stack,
  containers,
  isStale,
  selected,
  onToggle,
}: {
  stack: string;
  containers: readonly ContainerView[];
  isStale: boolean;
  selected: ReadonlySet<string>;
  onToggle: (names: readonly string[], isOn: boolean) => void;
}): ReactNode {
  const { t } = useTranslation();
  const running = containers.filter(({ state }) => state === "running").length;
  const names = containers.map(({ name }) => name);
  const isAll = names.every((name) => selected.has(name));
  return (
    <Panel
      title={<Quoted>{stack}</Quoted>}
      aside={<span className="text-xs text-muted">{isStale ? t("common.unknown") : t("containers.runningOf", { running, all: containers.length })}</span>}
    >
      <div role="region" aria-label={t("containers.ofStack", { stack: visible(stack) })} tabIndex={0} className="relative overflow-x-auto">
        <table className="w-full border-collapse md:table-fixed text-left text-[0.8125rem]">
          <caption className="sr-only">{t("containers.ofStack", { stack: visible(stack) })}</caption>
          <thead>
            <tr className="border-b border-line text-xs text-muted">
              <th scope="col" className="w-9 py-1.5 pl-3">
                <input type="checkbox" className="size-4 align-middle accent-accent" aria-label={t("containers.selectAll", { stack: visible(stack) })} checked={isAll} onChange={() => onToggle(names, !isAll)} />
              </th>
              <th scope="col" className={HEAD}>
                {t("containers.name")}
              </th>
              <th scope="col" className={`${HEAD} hidden w-36 sm:table-cell`}>
                {t("containers.stateLabel")}
              </th>
              <th scope="col" className={`${HEAD} hidden w-20 text-right lg:table-cell`}>
                {t("containers.cpu")}
              </th>
              <th scope="col" className={`${HEAD} hidden w-24 text-right lg:table-cell`}>
                {t("containers.memory")}
              </th>
              <th scope="col" className={`${HEAD} hidden w-40 text-right xl:table-cell`}>
                {t("containers.network")}
              </th>
              <th scope="col" className={`${HEAD} hidden w-20 text-right lg:table-cell`}>
                {t("containers.restarts")}
              </th>
              <th scope="col" className={`${HEAD} hidden w-20 text-right xl:table-cell`}>
                {t("containers.uptime")}
              </th>
              <th scope="col" className={`${HEAD} hidden w-44 2xl:table-cell`}>
                {t("containers.ports")}
              </th>
              <th scope="col" className={`${HEAD} w-32 text-right`}>
                <span className="sr-only">{t("containers.acts")}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {containers.map((container) => (
              <Row key={container.id} container={container} isStale={isStale} isSelected={selected.has(container.name)} onToggle={(isOn) => onToggle([container.name], isOn)} />
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

function Row({ container, isStale, isSelected, onToggle }: { container: ContainerView; isStale: boolean; isSelected: boolean; onToggle: (isOn: boolean) => void }): ReactNode {
  const { t } = useTranslation();
  const now = useNow();
  const [asked, setAsked] = useState<ContainerAct | null>(null);
  const { name, stats, started_at, state } = container;
  const uptime = state === "running" && started_at ? (now - Date.parse(started_at)) / 1000 : null;
  const number = `${CELL} hidden text-right whitespace-nowrap ${isStale ? "text-unknown" : ""}`;
  return (
    <tr className={`border-b border-line last:border-0 hover:bg-sunken/60 ${isSelected ? "bg-accent/8" : ""}`}>
      <td className="pl-3">
        <input type="checkbox" className="size-4 align-middle accent-accent" aria-label={t("containers.select", { name: visible(name) })} checked={isSelected} onChange={(event) => onToggle(event.target.checked)} />
      </td>
      <th scope="row" className={`${CELL} font-normal`}>
        <span className="flex min-w-0 items-center gap-1.5">
          <Link to="/containers/$name" params={{ name }} className="min-w-0 font-medium hover:underline">
            <Quoted>{name}</Quoted>
          </Link>
          {container.is_protected && <Lock size={13} role="img" aria-label={t("containers.protected")} className="shrink-0 text-muted" />}
        </span>
        <span className="block truncate text-xs text-muted" title={container.digest ?? container.image_id}>
          <Quoted>{container.image}</Quoted>
        </span>
        <span className="block sm:hidden">
          <ContainerStatus container={container} isStale={isStale} />
        </span>
      </th>
      <td className={`${CELL} hidden sm:table-cell`}>
        <ContainerStatus container={container} isStale={isStale} />
      </td>
      <td className={`${number} lg:table-cell`}>{stats?.cpu_percent == null ? "–" : `${stats.cpu_percent.toFixed(1)} %`}</td>
      <td className={`${number} lg:table-cell`}>{stats ? bytes(stats.memory_bytes) : "–"}</td>
      <td className={`${number} xl:table-cell`}>
        {stats ? (
          <>
            <span className="sr-only">{t("containers.received")}</span>
            <span aria-hidden>↓</span> {bytes(stats.network_in_bytes)} <span className="sr-only">{t("containers.sent")}</span>
            <span aria-hidden>↑</span> {bytes(stats.network_out_bytes)}
          </>
        ) : (
          "–"
        )}
      </td>
      <td className={`${number} lg:table-cell ${container.restarts > 0 && !isStale ? "text-warn" : ""}`}>{container.restarts}</td>
      <td className={`${number} xl:table-cell`}>{uptime === null ? "–" : duration(uptime)}</td>
      <td className={`${CELL} hidden 2xl:table-cell`}>
        <span className="line-clamp-2 font-mono text-[0.92em]">{container.ports.map((port) => visible(port)).join(", ")}</span>
      </td>
      <td className="py-0.5 pr-2">
        <span className="flex items-center justify-end">
          <Link to="/containers/$name" params={{ name }} search={{ tab: "logs" }} aria-label={t("containers.logsOf", { name: visible(name) })} title={t("containers.tabs.logs")} className={buttonLook("quiet", "!px-1")}>
            <ScrollText size={15} aria-hidden />
          </Link>
          <ContainerActs container={container} isStale={isStale} asked={asked} onAsk={setAsked} />
        </span>
      </td>
    </tr>
  );
}
