/** One update day: where each site stands, as it happens, and afterwards what became of each. */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { lazy, Suspense, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { CommandLine } from "@/components/copy";
import { Page } from "@/components/page";
import { Fact, Facts, Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Table } from "@/components/table";
import { Time } from "@/components/time";

import { operationQuery } from "@/lib/operations";
import { siteChangeName } from "@/lib/plans";

import { useSiteNews } from "../news";
import { updateQuery, type UpdateReport, type UpdateSiteReport } from "../requests";
import { SiteUpdateStatus, UpdateStatus } from "./update-status";

const CancelOperation = lazy(async () => ({ default: (await import("@/components/cancel-operation")).CancelOperation }));

const route = getRouteApi("/wordpress/updates/$id");

export function UpdatePage(): ReactNode {
  const { t } = useTranslation();
  const { id } = route.useParams();
  const query = useQuery(updateQuery(id));
  const { data: operation } = useQuery({ ...operationQuery(id), enabled: query.data !== undefined && query.data.ended_at === null });
  useSiteNews();
  return (
    <Page
      key={id}
      title={t("wordpress.update.one")}
      lead={
        <Link to="/wordpress/updates" className="hover:underline">
          ← {t("wordpress.update.title")}
        </Link>
      }
      aside={
        query.data && (
          <>
            <span aria-live="polite">
              <UpdateStatus state={query.data.state} />
            </span>
            {operation && query.data.ended_at === null && (
              <Suspense>
                <CancelOperation operation={operation}>{t("wordpress.update.cancelLeaves")}</CancelOperation>
              </Suspense>
            )}
          </>
        )
      }
    >
      <QueryView query={query}>{(report) => <Report report={report} />}</QueryView>
      <CommandLine command={`homeport wordpress update --show ${id}`} />
    </Page>
  );
}

function Report({ report }: { report: UpdateReport }): ReactNode {
  const { t } = useTranslation();
  const rings = [...new Set(report.sites.map(({ ring }) => ring))].toSorted((one, other) => one - other);
  return (
    <div className="flex flex-col gap-4">
      <Panel title={t("wordpress.update.about")}>
        <Facts>
          <Fact name={t("wordpress.update.began")}>
            <Time value={report.began_at} />
          </Fact>
          {report.ended_at && (
            <Fact name={t("wordpress.update.ended")}>
              <Time value={report.ended_at} />
            </Fact>
          )}
          {report.soaks_until && report.state === "soaking" && (
            <Fact name={t("wordpress.update.soaksUntil")}>
              <Time value={report.soaks_until} />
            </Fact>
          )}
          <Fact name={t("operations.actor")}>
            <Quoted>{report.by}</Quoted>
          </Fact>
          <Fact name={t("audit.operation")}>
            <Link to="/operations/$id" params={{ id: report.id }} className="underline">
              {t("operations.details")}
            </Link>
          </Fact>
          {report.stopped && (
            <Fact name={t("wordpress.update.whyStopped")}>
              <span lang="en">
                <Quoted>{report.stopped}</Quoted>
              </span>
            </Fact>
          )}
        </Facts>
      </Panel>
      {rings.map((ring) => (
        <Panel key={ring} title={t("wordpress.update.ring", { ring })}>
          <Ring title={t("wordpress.update.ring", { ring })} sites={report.sites.filter((each) => each.ring === ring)} />
        </Panel>
      ))}
    </div>
  );
}

function Ring({ title, sites }: { title: string; sites: readonly UpdateSiteReport[] }): ReactNode {
  const { t } = useTranslation();
  return (
    <Table
      caption={title}
      rows={sites}
      rowKey={({ site }) => site}
      columns={[
        {
          key: "site",
          head: t("wordpress.column.site"),
          cell: ({ site }) => (
            <Link to="/wordpress/sites/$site" params={{ site }} className="font-medium hover:underline">
              <Quoted>{site}</Quoted>
            </Link>
          ),
        },
        {
          key: "state",
          head: t("wordpress.column.state"),
          cell: (site) => (
            <span className="flex max-w-prose flex-col">
              <SiteUpdateStatus site={site} />
              {site.reason && (
                <span lang="en" className="text-xs text-muted">
                  <Quoted>{site.reason}</Quoted>
                </span>
              )}
              {site.operation_id && (
                <Link to="/operations/$id" params={{ id: site.operation_id }} className="text-xs underline">
                  {t("operations.details")}
                </Link>
              )}
            </span>
          ),
        },
        {
          key: "updates",
          head: t("wordpress.update.updates"),
          cell: ({ updates }) => (
            <ul>
              {updates.map(({ name, before, after }) => (
                <li key={name}>
                  <Quoted>{siteChangeName(name)}</Quoted> <Quoted mono>{`${before ?? "?"} → ${after}`}</Quoted>
                </li>
              ))}
            </ul>
          ),
        },
        {
          key: "point",
          head: t("wordpress.update.point"),
          spare: "md",
          cell: ({ point, site }) =>
            point === null ? (
              "–"
            ) : (
              <Link to="/backups" search={{ tab: "coverage", find: site }} className="underline">
                <Quoted mono>{point}</Quoted>
              </Link>
            ),
        },
        { key: "ended", head: t("wordpress.update.ended"), spare: "md", cell: ({ ended_at }) => (ended_at ? <Time value={ended_at} /> : "–") },
      ]}
    />
  );
}
