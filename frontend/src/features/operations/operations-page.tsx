import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { Page } from "@/components/page";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Table, type Column } from "@/components/table";
import { Time } from "@/components/time";
import { duration } from "@/lib/format";

import { useActName } from "./act-name";
import { OperationStatus } from "./operation-status";
import { ProgressBar } from "./progress-bar";
import { operationsQuery, STATES, type OperationView } from "./requests";

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

export function OperationsTable({ operations }: { operations: readonly OperationView[] }): ReactNode {
  const { t } = useTranslation();
  const actName = useActName();
  const columns: readonly Column<OperationView>[] = [
    {
      key: "act",
      head: t("operations.act"),
      cell: ({ id, act }) => (
        <Link to="/operations/$id" params={{ id }} className="font-medium whitespace-nowrap hover:underline">
          {actName(act)}
        </Link>
      ),
    },
    { key: "target", head: t("operations.target"), cell: ({ target }) => <Quoted>{target}</Quoted> },
    {
      key: "state",
      head: t("operations.stateLabel"),
      cell: (operation) => (
        <span className="flex flex-col gap-1">
          <OperationStatus operation={operation} />
          {operation.state === "running" && <ProgressBar operation={operation} />}
        </span>
      ),
    },
    { key: "actor", head: t("operations.actor"), cell: ({ actor }) => <Quoted>{actor.name}</Quoted>, spare: "md" },
    { key: "started", head: t("operations.started"), cell: ({ started_at }) => <Time value={started_at} absolute />, spare: "md" },
    {
      key: "took",
      head: t("operations.took"),
      align: "right",
      cell: ({ started_at, ended_at }) => (ended_at ? duration((Date.parse(ended_at) - Date.parse(started_at)) / 1000) : ""),
      spare: "lg",
    },
  ];
  return <Table caption={t("pages.operations")} columns={columns} rows={operations} rowKey={({ id }) => id} />;
}
