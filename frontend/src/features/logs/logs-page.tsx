import { getRouteApi, Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import LogView from "@/components/logs/log-view";
import { MAX_MERGED } from "@/components/logs/sources";
import { Page } from "@/components/page";
import { Empty } from "@/components/states";


const route = getRouteApi("/logs");

/** The logs of several containers in one view. */
export function LogsPage(): ReactNode {
  const { t } = useTranslation();
  const { of = "" } = route.useSearch();
  const names = [...new Set(of.split(",").filter(Boolean))].slice(0, MAX_MERGED);
  return (
    <Page
      title={t("logs.title")}
      lead={
        <Link to="/containers" className="hover:underline">
          ← {t("pages.containers")}
        </Link>
      }
    >
      {names.length === 0 ? <Empty title={t("logs.none")} /> : <LogView key={names.join(",")} names={names} epoch="" />}
    </Page>
  );
}
