/** One database: its tables and what else it holds, what its owner should know, and its dumps. */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { Archive, Download, SquareTerminal, Trash2, Upload } from "lucide-react";
import { lazy, Suspense, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button, buttonLook } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { DropDown } from "@/components/drop-down";
import { FilterBox } from "@/components/field";
import { Page } from "@/components/page";
import { Fact, Facts, Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty, InlineError } from "@/components/states";
import { Status } from "@/components/status";
import { Table, type Column } from "@/components/table";
import { toast } from "@/components/toast";
import { useAct } from "@/lib/act";
import { bytes, searchable } from "@/lib/format";
import { visible } from "@/lib/hostile-text";
import { OPERATIONS } from "@/lib/operations";
import { usePermission } from "@/lib/permission";
import { quoted } from "@/lib/shell";

import { showCommand } from "./command-lines";
import { Age } from "./databases-table";
import { useDatabaseNews } from "./news";
import { databaseQuery, dumpAddress, keepDump, type DatabaseView, type TableSummary } from "./requests";
import { Path } from "./tabs";

const LoadDialog = lazy(() => import("./load-dialog"));
const DropDialog = lazy(() => import("./drop-dialog"));

const route = getRouteApi("/databases/$server/$database");
const FEW = 8; // tables that need no filter

export function DatabasePage(): ReactNode {
  const { server, database } = route.useParams();
  const { ask } = route.useSearch();
  const navigate = route.useNavigate();
  const query = useQuery(databaseQuery(server, database));
  useDatabaseNews();
  const onAsk = (what?: "load" | "drop"): void => void navigate({ search: { ask: what }, replace: true });
  return (
    <Page key={`${server}/${database}`} title={visible(database)} lead={<Path server={server} />} aside={query.data && <DatabaseActs view={query.data} onAsk={onAsk} />}>
      <QueryView query={query} rows={12}>
        {(view) => (
          <>
            <Contents view={view} />
            <Suspense>
              {ask === "load" && <LoadDialog view={view} onClose={() => onAsk()} />}
              {ask === "drop" && (
                <DropDialog
                  view={view}
                  onClose={() => onAsk()}
                  onBegun={() => void navigate({ to: "/databases/$server", params: { server } })}
                />
              )}
            </Suspense>
          </>
        )}
      </QueryView>
      <CommandLine command={showCommand(server, database)} />
    </Page>
  );
}

function DatabaseActs({ view: { server, database: summary }, onAsk }: { view: DatabaseView; onAsk: (what: "load" | "drop") => void }): ReactNode {
  const { t } = useTranslation();
  const database = summary.name;
  const mayDump = usePermission("databases:dump").isPermitted;
  const load = usePermission("databases:load");
  const drop = usePermission("databases:drop");
  const mayQuery = usePermission("console:query").isPermitted;
  const needs = ({ isPermitted, role }: { isPermitted: boolean; role: "viewer" | "operator" | "admin" | null }): string | undefined => (!isPermitted && role ? t("common.needsRole", { role: t(`role.${role}`) }) : undefined);
  const whyNoDrop = needs(drop) ?? (summary.owner ? t("databases.drop.inUse", { site: visible(summary.owner) }) : undefined);
  return (
    <>
      {mayQuery && (
        <Link to="/databases/console" search={{ server, database }} className={buttonLook()}>
          <SquareTerminal size={14} aria-hidden />
          {t("databases.tabs.console")}
        </Link>
      )}
      {mayDump && <DumpMenu server={server} database={database} />}
      <Button disabled={!load.isPermitted} title={needs(load)} onClick={() => onAsk("load")}>
        <Upload size={14} aria-hidden />
        {t("databases.load.verb")}
      </Button>
      <Button disabled={whyNoDrop !== undefined} title={whyNoDrop} onClick={() => onAsk("drop")}>
        <Trash2 size={14} aria-hidden />
        {t("databases.drop.verb")}
      </Button>
    </>
  );
}

function DumpMenu({ server, database }: { server: string; database: string }): ReactNode {
  const { t } = useTranslation();
  const keep = useAct(() => keepDump(server, database), { refreshes: [OPERATIONS], onDone: () => toast(t("databases.dump.begun")) });
  const place = quoted(`${server}/${database}`);
  return (
    <DropDown label={t("databases.dump.verb")} icon={<Download size={14} aria-hidden />}>
      {(["zst", "gz", "none"] as const).map((compression) => (
        <a key={compression} href={dumpAddress(server, database, compression)} download className="target rounded px-2 py-1 hover:bg-sunken">
          {t(`databases.dump.${compression}`)}
        </a>
      ))}
      <Button look="quiet" className="!justify-start font-normal" busy={keep.isPending} onClick={() => keep.mutate()}>
        <Archive size={14} aria-hidden />
        {t("databases.dump.keep")}
      </Button>
      {keep.error && <InlineError error={keep.error} />}
      <CommandLine command={`homeport db dump ${place}`} />
    </DropDown>
  );
}

function Contents({ view }: { view: DatabaseView }): ReactNode {
  const { t } = useTranslation();
  const { database: summary, tables, routines, triggers } = view;
  const frail = tables.filter(({ kind, engine }) => (kind === "table" || kind === "other") && engine !== "InnoDB");
  return (
    <div className="grid items-start gap-4 xl:grid-cols-[1fr_22rem]">
      <Tables view={view} />
      <div className="flex min-w-0 flex-col gap-4">
        {frail.length > 0 && (
          <Panel title={t("databases.warnings")}>
            <ul className="flex flex-col gap-1.5 p-3 text-sm">
              {frail.map(({ name, engine }) => (
                <li key={name}>
                  <Status tone="warn" wraps>
                    {t("databases.frail", { table: visible(name), engine: engine === null ? t("common.unknown") : visible(engine) })}
                  </Status>
                </li>
              ))}
            </ul>
          </Panel>
        )}
        <Panel title={t("databases.about")}>
          <Facts>
            <Fact name={t("databases.column.owner")}>{summary.owner ? <Quoted>{summary.owner}</Quoted> : t("databases.noOwner")}</Fact>
            <Fact name={t("databases.column.size")}>{bytes(summary.bytes)}</Fact>
            <Fact name={t("databases.column.collation")}>
              <Quoted mono>{`${summary.charset} / ${summary.collation}`}</Quoted>
            </Fact>
            <Fact name={t("databases.column.backup")}>
              <Age at={summary.backed_up_at} />
            </Fact>
            <Fact name={t("databases.column.dump")}>
              <Age at={summary.dumped_at} />
            </Fact>
          </Facts>
        </Panel>
        {triggers.length > 0 && (
          <Panel title={t("databases.triggers")}>
            <ul className="flex flex-col gap-1.5 p-3 text-sm">
              {triggers.map(({ name, table, timing, event }) => (
                <li key={name}>
                  <Quoted mono>{name}</Quoted> <span className="text-xs text-muted">{`${timing} ${event} · ${visible(table)}`}</span>
                </li>
              ))}
            </ul>
          </Panel>
        )}
        {routines.length > 0 && (
          <Panel title={t("databases.routines")}>
            <ul className="flex flex-col gap-1.5 p-3 text-sm">
              {routines.map(({ name, kind, definer }) => (
                <li key={`${kind} ${name}`}>
                  <Quoted mono>{name}</Quoted>{" "}
                  <span className="text-xs text-muted">
                    {t(`databases.routine.${kind}`)} · <Quoted>{definer}</Quoted>
                  </span>
                </li>
              ))}
            </ul>
          </Panel>
        )}
      </div>
    </div>
  );
}

function Tables({ view: { server, database: { name: database }, tables } }: { view: DatabaseView }): ReactNode {
  const { t } = useTranslation();
  const [find, setFind] = useState("");
  const shown = tables.filter(({ name }) => searchable(name).includes(searchable(find)));
  const columns: readonly Column<TableSummary>[] = [
    {
      key: "name",
      head: t("databases.column.table"),
      cell: ({ name, kind, comment }) => (
        <>
          <Link to="/databases/$server/$database/$table" params={{ server, database, table: name }} className="font-medium hover:underline">
            <Quoted>{name}</Quoted>
          </Link>
          {kind !== "table" && <span className="text-xs text-muted"> · {t(`databases.kind.${kind}`)}</span>}
          {comment && (
            <span className="block text-xs text-muted">
              <Quoted>{comment}</Quoted>
            </span>
          )}
        </>
      ),
    },
    { key: "rows", head: t("databases.column.rowsAbout"), align: "right", cell: ({ rows }) => (rows === null ? "–" : t("databases.about_rows", { count: rows })) },
    { key: "size", head: t("databases.column.size"), align: "right", cell: ({ kind, data_bytes, index_bytes }) => <span className="whitespace-nowrap">{kind === "view" ? "–" : bytes(data_bytes + index_bytes)}</span> },
    {
      key: "engine",
      head: t("databases.column.engine"),
      spare: "md",
      cell: ({ engine, kind }) => (kind === "view" ? "–" : engine === "InnoDB" ? engine : <Status tone="warn">{engine === null ? t("common.unknown") : visible(engine)}</Status>),
    },
    { key: "collation", head: t("databases.column.collation"), spare: "lg", cell: ({ collation }) => <span className="font-mono text-[0.92em] text-muted">{collation ?? "–"}</span> },
  ];
  return (
    <Panel
      title={t("databases.column.tables")}
      aside={tables.length > FEW && <FilterBox label={t("databases.filterTables")} className="!w-56" value={find} onChange={(event) => setFind(event.target.value)} />}
    >
      {tables.length === 0 ? (
        <Empty title={t("databases.noTables")} command={`homeport db load ${quoted(`${server}/${database}`)} FILE`}>
          {t("databases.noTablesWhy")}
        </Empty>
      ) : shown.length === 0 ? (
        <Empty title={t("common.nothingMatches")} action={<Button onClick={() => setFind("")}>{t("common.resetFilter")}</Button>} />
      ) : (
        <Table caption={t("databases.tablesOf", { database: visible(database) })} columns={columns} rows={shown} rowKey={({ name }) => name} />
      )}
    </Panel>
  );
}
