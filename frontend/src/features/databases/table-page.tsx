/** One table: its structure, and its rows. */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { Key, SquareTerminal } from "lucide-react";
import { lazy, Suspense, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { buttonLook } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { Page } from "@/components/page";
import { Fact, Facts, Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty, Skeleton } from "@/components/states";
import { Table, type Column } from "@/components/table";
import { tabLook, Tabs } from "@/components/tabs";
import { Time } from "@/components/time";
import { bytes } from "@/lib/format";
import { visible } from "@/lib/hostile-text";
import { usePermission } from "@/lib/permission";

import { rowsCommand, showCommand } from "./command-lines";
import { useDatabaseNews } from "./news";
import { tableQuery, type ColumnView, type TableView } from "./requests";
import { Sql } from "./sql";
import { Path } from "./tabs";

const RowsPanel = lazy(() => import("./rows-panel"));

const route = getRouteApi("/databases/$server/$database/$table");

export function TablePage(): ReactNode {
  const { t } = useTranslation();
  const { server, database, table } = route.useParams();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const query = useQuery(tableQuery(server, database, table));
  const mayBrowse = usePermission("databases:browse").isPermitted;
  const mayQuery = usePermission("console:query").isPermitted;
  useDatabaseNews();
  const params = { server, database, table };
  return (
    <Page
      key={`${server}/${database}/${table}`}
      title={visible(table)}
      lead={<Path server={server} database={database} />}
      aside={
        mayQuery && (
          <Link to="/databases/console" search={params} className={buttonLook()}>
            <SquareTerminal size={14} aria-hidden />
            {t("databases.tabs.console")}
          </Link>
        )
      }
    >
      <Tabs label={t("databases.tableViews")}>
        <Link to="/databases/$server/$database/$table" params={params} {...tabLook(search.tab !== "rows")}>
          {t("databases.tabs.structure")}
        </Link>
        {mayBrowse && (
          <Link to="/databases/$server/$database/$table" params={params} search={{ tab: "rows" }} {...tabLook(search.tab === "rows")}>
            {t("databases.tabs.rows")}
          </Link>
        )}
      </Tabs>
      <QueryView query={query} rows={12}>
        {(view) =>
          search.tab === "rows" ? (
            <Suspense fallback={<Skeleton />}>
              <RowsPanel view={view} search={search} onSearch={(change) => void navigate({ search: (now) => ({ ...now, ...change }), replace: true })} />
            </Suspense>
          ) : (
            <Structure view={view} />
          )
        }
      </QueryView>
      <CommandLine command={search.tab === "rows" ? rowsCommand(server, database, table, search) : showCommand(server, database, table)} />
    </Page>
  );
}

function Structure({ view }: { view: TableView }): ReactNode {
  const { t } = useTranslation();
  const { table, indexes, foreign_keys, triggers, definition } = view;
  return (
    <div className="grid items-start gap-4 xl:grid-cols-[1fr_22rem]">
      <div className="flex min-w-0 flex-col gap-4">
        <Columns view={view} />
        {table.kind !== "view" && (
          <Panel title={t("databases.indexes")}>
            {indexes.length === 0 ? (
              <Empty title={t("databases.noIndexes")} />
            ) : (
              <Table
                caption={t("databases.indexes")}
                rows={indexes}
                rowKey={({ name }) => name}
                columns={[
                  { key: "name", head: t("databases.column.name"), cell: ({ name }) => <Quoted mono>{name}</Quoted> },
                  { key: "columns", head: t("databases.column.columns"), cell: ({ columns }) => <Quoted mono>{columns.join(", ")}</Quoted> },
                  { key: "unique", head: t("databases.column.unique"), cell: ({ is_unique }) => t(is_unique ? "common.yes" : "common.no") },
                  { key: "type", head: t("databases.column.type"), spare: "md", cell: ({ type }) => type },
                  { key: "cardinality", head: t("databases.column.cardinality"), align: "right", spare: "lg", cell: ({ cardinality }) => cardinality ?? "–" },
                ]}
              />
            )}
          </Panel>
        )}
        {foreign_keys.length > 0 && (
          <Panel title={t("databases.foreignKeys")}>
            <ul className="flex flex-col gap-1.5 p-3 text-sm">
              {foreign_keys.map(({ name, columns, to_database, to_table, to_columns, on_update, on_delete }) => (
                <li key={name}>
                  <Quoted mono>{`${columns.join(", ")} → ${to_database === view.database ? "" : `${to_database}.`}${to_table} (${to_columns.join(", ")})`}</Quoted>
                  <span className="block text-xs text-muted">{`ON UPDATE ${on_update} · ON DELETE ${on_delete}`}</span>
                </li>
              ))}
            </ul>
          </Panel>
        )}
        {definition !== null && (
          <Panel title={t("databases.definition")}>
            <div tabIndex={0} role="region" aria-label={t("databases.definition")} className="max-h-[50dvh] overflow-auto p-3 text-sm">
              <Sql text={definition} whole />
            </div>
          </Panel>
        )}
      </div>
      <div className="flex min-w-0 flex-col gap-4">
        <About view={view} />
        {triggers.length > 0 && (
          <Panel title={t("databases.triggers")}>
            <ul className="flex flex-col gap-2 p-3 text-sm">
              {triggers.map(({ name, timing, event, statement }) => (
                <li key={name}>
                  <Quoted mono>{name}</Quoted> <span className="text-xs text-muted">{`${timing} ${event}`}</span>
                  <Sql text={statement} />
                </li>
              ))}
            </ul>
          </Panel>
        )}
      </div>
    </div>
  );
}

function About({ view: { table } }: { view: TableView }): ReactNode {
  const { t } = useTranslation();
  return (
    <Panel title={t("databases.about")}>
      <Facts>
        <Fact name={t("databases.column.kind")}>{t(`databases.kind.${table.kind}`)}</Fact>
        {table.kind !== "view" && (
          <>
            <Fact name={t("databases.column.engine")}>{table.engine === null ? t("common.unknown") : <Quoted>{table.engine}</Quoted>}</Fact>
            {table.rows !== null && <Fact name={t("databases.column.rowsAbout")}>{t("databases.about_rows", { count: table.rows })}</Fact>}
            <Fact name={t("databases.column.data")}>{bytes(table.data_bytes)}</Fact>
            <Fact name={t("databases.indexes")}>{bytes(table.index_bytes)}</Fact>
          </>
        )}
        {table.auto_increment !== null && <Fact name="AUTO_INCREMENT">{table.auto_increment}</Fact>}
        {table.collation !== null && (
          <Fact name={t("databases.column.collation")}>
            <Quoted mono>{table.collation}</Quoted>
          </Fact>
        )}
        {table.created_at !== null && (
          <Fact name={t("databases.column.created")}>
            <Time value={table.created_at} />
          </Fact>
        )}
        {table.updated_at !== null && (
          <Fact name={t("databases.column.updated")}>
            <Time value={table.updated_at} />
          </Fact>
        )}
        {table.comment && (
          <Fact name={t("databases.column.comment")}>
            <Quoted>{table.comment}</Quoted>
          </Fact>
        )}
      </Facts>
    </Panel>
  );
}

function Columns({ view: { columns, primary_key } }: { view: TableView }): ReactNode {
  const { t } = useTranslation();
  const shown: readonly Column<ColumnView>[] = [
    {
      key: "name",
      head: t("databases.column.name"),
      cell: ({ name, comment }) => (
        <>
          <span className="inline-flex items-center gap-1 font-medium whitespace-nowrap">
            <Quoted mono>{name}</Quoted>
            {primary_key.includes(name) && <Key size={13} role="img" aria-label={t("databases.primaryKey")} className="shrink-0 text-muted" />}
          </span>
          {comment && (
            <span className="block text-xs text-muted">
              <Quoted>{comment}</Quoted>
            </span>
          )}
        </>
      ),
    },
    { key: "type", head: t("databases.column.type"), cell: ({ type }) => <span className="block min-w-24"><Quoted mono>{type}</Quoted></span> },
    { key: "null", head: "NULL", cell: ({ is_nullable }) => t(is_nullable ? "common.yes" : "common.no") },
    { key: "default", head: t("databases.column.default"), spare: "md", cell: (each) => (each.default === null ? "–" : <Quoted mono>{each.default}</Quoted>) },
    { key: "extra", head: t("databases.column.extra"), spare: "lg", cell: ({ extra }) => (extra === "" ? "–" : <span className="block min-w-28"><Quoted mono>{extra}</Quoted></span>) },
    { key: "collation", head: t("databases.column.collation"), spare: "xl", cell: ({ collation }) => <span className="font-mono text-[0.92em] text-muted">{collation ?? "–"}</span> },
  ];
  return (
    <Panel title={t("databases.column.columns")}>
      <Table caption={t("databases.column.columns")} columns={shown} rows={columns} rowKey={({ name }) => name} />
    </Panel>
  );
}
