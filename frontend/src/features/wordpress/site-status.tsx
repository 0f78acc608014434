/** How a site is: what was read of it, and whether it answers here and from outside. */

import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Quoted } from "@/components/quoted";
import { Status, type Tone } from "@/components/status";
import { Time } from "@/components/time";

import { pointsQuery, reachQuery, type SiteProbesView, type SiteReachList, type SiteRowView } from "./requests";

type Site = Pick<SiteRowView, "state" | "is_served" | "is_maintained" | "reading">;

export const PROBE_TONES: Readonly<Record<SiteProbesView["probes"][number]["status"], Tone>> = { ok: "good", warning: "warn", critical: "bad", unknown: "unknown", not_connected: "idle" };

/** Whether somebody should look at it. */
export function needsAttention({ state, is_served, is_maintained, reading }: Site): boolean {
  return state !== "active" || !is_served || is_maintained || reading.trouble !== "" || reading.is_stale || reading.read_at === null;
}

type Measured = SiteReachList["sites"][number];

const has = ({ probes }: Measured, ...wanted: SiteProbesView["probes"][number]["status"][]): boolean => probes.some(({ name, status }) => (name === "origin" || name === "edge") && wanted.includes(status));

/** Whether it does not answer here or outside, as far as that was measured. */
export const isDown = (site: Measured): boolean => has(site, "critical");
export const isUp = (site: Measured): boolean => !isDown(site) && has(site, "ok", "warning");

export function hasUpdates({ core_update, plugin_updates, theme_updates }: Pick<SiteRowView, "core_update" | "plugin_updates" | "theme_updates">): boolean {
  return core_update !== null || (plugin_updates ?? 0) + (theme_updates ?? 0) > 0;
}

export function SiteStatus({ site: { state, is_served, is_maintained, reading } }: { site: Site }): ReactNode {
  const { t } = useTranslation();
  if (state !== "active") return <Status tone="running">{t(`wordpress.state.${state}`)}</Status>;
  if (is_maintained) return <Status tone="warn">{t("wordpress.state.maintained")}</Status>;
  if (!is_served) return <Status tone="idle">{t("wordpress.state.notServed")}</Status>;
  if (reading.trouble !== "") return <Status tone={reading.trouble === "fatal" ? "bad" : "unknown"}>{t(`wordpress.trouble.${reading.trouble}`)}</Status>;
  if (reading.read_at === null) return <Status tone="unknown">{t("wordpress.neverRead")}</Status>;
  return <Status tone="good">{t("wordpress.state.active")}</Status>;
}

/** When what is shown was true; marked when that is long ago. */
export function ReadAt({ reading: { read_at, is_stale, is_reading } }: { reading: SiteRowView["reading"] }): ReactNode {
  const { t } = useTranslation();
  if (is_reading) return <Status tone="running">{t("wordpress.reading")}</Status>;
  if (read_at === null) return <span className="text-muted">{t("wordpress.never")}</span>;
  return is_stale ? (
    <Status tone="warn">
      <Time value={read_at} />
    </Status>
  ) : (
    <Time value={read_at} />
  );
}

/** Whether visitors get it: from the web server here, and through Cloudflare. */
export function Reach({ site }: { site: string }): ReactNode {
  const { t } = useTranslation();
  const { data } = useQuery(reachQuery);
  const shown = data?.sites.find((each) => each.site === site)?.probes.filter(({ name }) => name === "origin" || name === "edge") ?? [];
  if (shown.length === 0) return <span className="text-muted">–</span>;
  return (
    <span className="inline-flex flex-col">
      {shown.map(({ name, status }) => (
        <Status key={name} tone={PROBE_TONES[status]}>
          {t(`wordpress.reach.${name as "origin" | "edge"}`)}
          <span className="sr-only"> {t(`reading.${status}`)}</span>
        </Status>
      ))}
    </span>
  );
}

/** Its newest restore point: files and database together. Unknown where no backup can be asked. */
export function NewestPoint({ site }: { site: string }): ReactNode {
  const { t } = useTranslation();
  const { data } = useQuery(pointsQuery);
  if (data === undefined) return <Status tone="unknown">{t("common.unknown")}</Status>;
  const at = data.get(site) ?? null;
  return at === null ? <Status tone="warn">{t("wordpress.noPoint")}</Status> : <Time value={at} />;
}

/** Why the last look at a site told nothing, or not all, and how old is what is shown. */
export function ReadingNotice({ reading: { trouble, error, read_at } }: { reading: SiteRowView["reading"] }): ReactNode {
  const { t } = useTranslation();
  if (trouble === "") return null;
  return (
    <div role="alert" className="flex flex-col items-start gap-1.5 rounded border border-l-4 border-line border-l-warn bg-panel px-3 py-2 text-sm">
      <p className="font-medium">{t(`wordpress.troubleWhat.${trouble}`)}</p>
      <p className="text-muted">{read_at === null ? t("wordpress.nothingKnown") : <>{t("wordpress.lastKnown")} <Time value={read_at} /></>}</p>
      {error && (
        <blockquote lang="en" className="border-l-2 border-edge pl-2 text-xs text-muted">
          <Quoted>{error}</Quoted>
        </blockquote>
      )}
    </div>
  );
}
