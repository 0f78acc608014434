import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { tabLook, Tabs } from "@/components/tabs";

/** The room's views: servers, the console, dumps that are kept. */
export function RoomTabs({ now }: { now: "servers" | "console" | "dumps" }): ReactNode {
  const { t } = useTranslation();
  return (
    <Tabs label={t("databases.views")}>
      <Link to="/databases" {...tabLook(now === "servers")}>
        {t("databases.tabs.servers")}
      </Link>
      <Link to="/databases/console" {...tabLook(now === "console")}>
        {t("databases.tabs.console")}
      </Link>
      <Link to="/databases/dumps" {...tabLook(now === "dumps")}>
        {t("databases.tabs.dumps")}
      </Link>
    </Tabs>
  );
}

export const SERVER_TABS = ["databases", "processes", "slow", "accounts"] as const;
export type ServerTab = (typeof SERVER_TABS)[number];

/** The views of one server. */
export function ServerTabs({ server, now }: { server: string; now: ServerTab }): ReactNode {
  const { t } = useTranslation();
  return (
    <Tabs label={t("databases.serverViews")}>
      {SERVER_TABS.map((each) => (
        <Link key={each} to="/databases/$server" params={{ server }} search={each === "databases" ? {} : { tab: each }} {...tabLook(now === each)}>
          {t(`databases.tabs.${each}`)}
        </Link>
      ))}
    </Tabs>
  );
}

/** Where one is: each step up is a link. */
export function Path({ server, database }: { server?: string; database?: string }): ReactNode {
  const { t } = useTranslation();
  return (
    <>
      <Link to="/databases" className="hover:underline">
        ← {t("pages.databases")}
      </Link>
      {server !== undefined && (
        <>
          {" / "}
          <Link to="/databases/$server" params={{ server }} className="hover:underline">
            {server}
          </Link>
        </>
      )}
      {server !== undefined && database !== undefined && (
        <>
          {" / "}
          <Link to="/databases/$server/$database" params={{ server, database }} className="quoted hover:underline">
            {database}
          </Link>
        </>
      )}
    </>
  );
}
