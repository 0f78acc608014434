import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Quoted } from "@/components/quoted";
import { Status } from "@/components/status";
import { Time } from "@/components/time";

import type { ZoneView } from "./requests";

/** What Cloudflare calls the zone's state: "active" is the good one. */
export function ZoneStatus({ zone: { status, is_stale, error } }: { zone: ZoneView }): ReactNode {
  const { t } = useTranslation();
  if (error !== null) return <Status tone="unknown">{t("common.unknown")}</Status>;
  if (status === "active" && !is_stale) return <Status tone="good">{t("dns.zones.active")}</Status>;
  return <Status tone={status === "active" ? "unknown" : "warn"}>{status === "active" ? t("dns.zones.stale") : <Quoted>{status}</Quoted>}</Status>;
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
