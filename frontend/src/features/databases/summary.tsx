/** The room in a few lines, for the dashboard: which servers answer, and how much they hold. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Status } from "@/components/status";
import { bytes } from "@/lib/format";

import { useDatabaseNews } from "./news";
import { ServerStatus } from "./notice";
import { serversQuery } from "./requests";

export function DatabasesSummary(): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(serversQuery);
  useDatabaseNews();
  return (
    <Panel title={t("pages.databases")}>
      <QueryView query={query} rows={2}>
        {({ servers }) =>
          servers.length === 0 ? (
            <p className="p-3 text-sm">
              <Status tone="idle">{t("databases.notice.none")}</Status>
            </p>
          ) : (
            <ul className="divide-y divide-line px-3 py-1 text-[0.8125rem]">
              {servers.map((server) => (
                <li key={server.name} className="flex flex-wrap items-center justify-between gap-x-3 gap-y-1 py-1.5">
                  <Link to="/databases/$server" params={{ server: server.name }} className="font-medium hover:underline">
                    <Quoted>{server.name}</Quoted>
                  </Link>
                  <span className="flex flex-wrap items-center gap-x-3">
                    {server.seen && (
                      <span className="text-xs text-muted">
                        {t("databases.sum", { count: server.seen.databases.length, size: bytes(server.seen.databases.reduce((sum, each) => sum + each.bytes, 0)) })}
                      </span>
                    )}
                    <ServerStatus server={server} />
                  </span>
                </li>
              ))}
            </ul>
          )
        }
      </QueryView>
    </Panel>
  );
}
