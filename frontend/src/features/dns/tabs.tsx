import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { tabLook, Tabs } from "@/components/tabs";

/** The room's views: zones, the tunnel, what mail needs of DNS. */
export function DnsTabs({ now }: { now: "zones" | "tunnel" | "mail" }): ReactNode {
  const { t } = useTranslation();
  return (
    <Tabs label={t("dns.views")}>
      <Link to="/dns" {...tabLook(now === "zones")}>
        {t("dns.tabs.zones")}
      </Link>
      <Link to="/dns/tunnel" {...tabLook(now === "tunnel")}>
        {t("dns.tabs.tunnel")}
      </Link>
      <Link to="/dns/mail" {...tabLook(now === "mail")}>
        {t("dns.tabs.mail")}
      </Link>
    </Tabs>
  );
}

/** The views of one zone. */
export function ZoneTabs({ zone, now, drift = 0 }: { zone: string; now: "records" | "import" | "history"; drift?: number }): ReactNode {
  const { t } = useTranslation();
  return (
    <Tabs label={t("dns.zoneViews")}>
      <Link to="/dns/$zone" params={{ zone }} {...tabLook(now === "records")}>
        {t("dns.tabs.records")}
      </Link>
      <Link to="/dns/$zone/import" params={{ zone }} {...tabLook(now === "import")}>
        {t("dns.tabs.import")}
      </Link>
      <Link to="/dns/$zone/history" params={{ zone }} {...tabLook(now === "history")}>
        {t("dns.tabs.history")}
        {drift > 0 && <span className="ml-1.5 rounded-full bg-warn/15 px-1.5 text-xs text-warn">{t("dns.drift.count", { count: drift })}</span>}
      </Link>
    </Tabs>
  );
}
