/** The newest operations, for the dashboard. */

import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Empty } from "@/components/states";
import { operationsQuery } from "@/lib/operations";

import { OperationsTable } from "./operations-table";

const NEWEST = 8;

export function LatestOperations(): ReactNode {
  const { t } = useTranslation();
  const operations = useInfiniteQuery(operationsQuery({}));
  return (
    <Panel
      title={t("dashboard.operations")}
      aside={
        <Link to="/operations" className="text-sm underline">
          {t("common.all")}
        </Link>
      }
    >
      <QueryView query={operations} rows={4}>
        {({ pages }) => {
          const newest = pages[0]?.operations.slice(0, NEWEST) ?? [];
          return newest.length === 0 ? <Empty title={t("operations.empty")}>{t("operations.emptyWhy")}</Empty> : <OperationsTable operations={newest} isShort />;
        }}
      </QueryView>
    </Panel>
  );
}
