/** Every configured server with its databases: what they hold, who lives in them, how old their newest copy is. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { CommandLine } from "@/components/copy";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { bytes } from "@/lib/format";

import { DatabasesTable } from "./databases-table";
import { useDatabaseNews } from "./news";
import { RoomNotice, ServerStatus, SilentNotice } from "./notice";
import { serversQuery, type ServerView } from "./requests";
import { RoomTabs } from "./tabs";

export function DatabasesPage(): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(serversQuery);
  useDatabaseNews();
  return (
    <Page title={t("pages.databases")}>
      <RoomTabs now="servers" />
      <QueryView query={query}>
        {(list) => (
          <div className="flex flex-col gap-4">
            <RoomNotice list={list} />
            {list.servers.map((server) => (
              <ServerPanel key={server.name} server={server} />
            ))}
          </div>
        )}
      </QueryView>
      <CommandLine command="homeport db servers" />
    </Page>
  );
}

function ServerPanel({ server }: { server: ServerView }): ReactNode {
  const { t } = useTranslation();
  const { name, seen, seen_at } = server;
  const databases = seen?.databases ?? [];
  return (
    <Panel
      title={
        <Link to="/databases/$server" params={{ server: name }} className="hover:underline">
          {name}
        </Link>
      }
      aside={
        <>
          {seen && (
            <span className="text-xs text-muted">
              {t("databases.sum", { count: databases.length, size: bytes(databases.reduce((sum, each) => sum + each.bytes, 0)) })}
            </span>
          )}
          <ServerStatus server={server} />
        </>
      }
    >
      <SilentNotice server={server} />
      {seen && seen_at !== null && <DatabasesTable server={server} databases={databases} />}
    </Panel>
  );
}
