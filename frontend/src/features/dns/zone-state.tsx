import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Quoted } from "@/components/quoted";
import { Status } from "@/components/status";
import { Time } from "@/components/time";
import type dns from "@/locales/dns/en.json";

import type { Connection, ZoneView } from "./requests";

type Known = keyof typeof dns.dns.zones.state;

/** Cloudflare can't be spoken to at all. A permission that the token lacks somewhere is none of that. */
export const isOutage = ({ state, permission }: Connection): boolean => state !== "connected" && permission === null;

/** Nothing can be done with this zone now: Cloudflare can't be spoken to, or lets the token lacking a permission not read this one. */
export const isOutOfReach = (connection: Connection, { error }: Pick<ZoneView, "error">): boolean => isOutage(connection) || (connection.state !== "connected" && error !== null);

/** What has drifted can be said of a zone that was read, and lately; of others nobody knows. */
export const isDriftKnown = ({ read_at, is_stale, error }: Pick<ZoneView, "read_at" | "is_stale" | "error">): boolean => read_at !== null && !is_stale && error === null;

/** What Cloudflare calls the zone's state: "active" is the good one. A word that is not known yet is shown as it came. */
export function ZoneStatus({ zone: { status, is_stale, error } }: { zone: ZoneView }): ReactNode {
  const { t, i18n } = useTranslation();
  if (error !== null) return <Status tone="unknown">{t("common.unknown")}</Status>;
  if (status === "active" && !is_stale) return <Status tone="good">{t("dns.zones.active")}</Status>;
  if (status === "active") return <Status tone="unknown">{t("dns.zones.stale")}</Status>;
  return <Status tone="warn">{i18n.exists(`dns.zones.state.${status}`) ? t(`dns.zones.state.${status as Known}`) : <Quoted>{status}</Quoted>}</Status>;
}

export function ReadAt({ zone: { read_at, is_stale, error }, withWord = false }: { zone: ZoneView; withWord?: boolean }): ReactNode {
  const { t } = useTranslation();
  return (
    <span className={is_stale || error !== null ? "text-unknown" : "text-muted"}>
      {withWord && `${t("dns.zones.read")} `}
      {read_at === null ? t("dns.zones.never") : <Time value={read_at} />}
      {error !== null && !withWord && (
        <span lang="en" className="block text-xs">
          <Quoted>{error}</Quoted>
        </span>
      )}
    </span>
  );
}
