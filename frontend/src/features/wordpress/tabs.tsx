import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { tabLook, Tabs } from "@/components/tabs";

/** The pages of the room. */
export function WordPressTabs({ now }: { now: "sites" | "updates" | "mail" }): ReactNode {
  const { t } = useTranslation();
  return (
    <Tabs label={t("wordpress.views")}>
      <Link to="/wordpress" {...tabLook(now === "sites")}>
        {t("wordpress.sites")}
      </Link>
      <Link to="/wordpress/updates" {...tabLook(now === "updates")}>
        {t("wordpress.update.title")}
      </Link>
      <Link to="/wordpress/mail" {...tabLook(now === "mail")}>
        {t("wordpress.mail.title")}
      </Link>
    </Tabs>
  );
}
