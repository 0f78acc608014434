import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { Page } from "@/components/page";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";

import { operationsQuery, STATES } from "@/lib/operations";

import { OperationsTable } from "./operations-table";

const route = getRouteApi("/operations");

export function OperationsPage(): ReactNode {
  const { t } = useTranslation();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const query = useInfiniteQuery(operationsQuery(search));
  return (
    <Page title={t("pages.operations")}>
      <div className="rounded-lg border border-line bg-panel">
        <div className="flex flex-wrap items-center gap-2 border-b border-line p-2">
          <select
            aria-label={t("operations.stateLabel")}
            className="target rounded border border-edge bg-panel px-2 py-1 text-sm"
            value={search.state ?? ""}
            onChange={(event) => void navigate({ search: (now) => ({ ...now, state: STATES.find((each) => each === event.target.value) }) })}
          >
            <option value="">{t("operations.anyState")}</option>
            {STATES.map((state) => (
              <option key={state} value={state}>
                {t(`operations.state.${state}`)}
              </option>
            ))}
          </select>
          {search.target && (
            <Button onClick={() => void navigate({ search: (now) => ({ ...now, target: undefined }) })}>
              <Quoted>{search.target}</Quoted> ×<span className="sr-only">{t("common.resetFilter")}</span>
            </Button>
          )}
        </div>
        <QueryView query={query} rows={12}>
          {({ pages }) => {
            const operations = pages.flatMap((page) => page.operations);
            if (operations.length > 0) return <OperationsTable operations={operations} />;
            return search.state || search.target ? (
              <Empty title={t("common.nothingMatches")} action={<Button onClick={() => void navigate({ search: {} })}>{t("common.resetFilter")}</Button>} />
            ) : (
              <Empty title={t("operations.empty")}>{t("operations.emptyWhy")}</Empty>
            );
          }}
        </QueryView>
        {query.hasNextPage && (
          <div className="border-t border-line p-2 text-center">
            <Button busy={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
              {t("common.more")}
            </Button>
          </div>
        )}
      </div>
      <CommandLine command="homeport operations list" />
    </Page>
  );
}
