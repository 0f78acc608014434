/**
 * The SQL console: one statement, run by an account that can only read, within limits that the server enforces. Its
 * write mode looks different on purpose, changes nothing before it has been measured and confirmed, and can be undone.
 */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { CircleStop, Download, Pencil, Play, Ruler, TextSearch } from "lucide-react";
import { lazy, Suspense, useEffect, useRef, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button, buttonLook } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { DropDown } from "@/components/drop-down";
import { SelectField } from "@/components/field";
import { Page } from "@/components/page";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty, Skeleton } from "@/components/states";
import { Status } from "@/components/status";
import { tabLook, Tabs } from "@/components/tabs";
import { toast } from "@/components/toast";
import { useAct } from "@/lib/act";
import { saveBlob } from "@/lib/download";
import { bytes, duration } from "@/lib/format";
import { visible } from "@/lib/hostile-text";
import { usePermission } from "@/lib/permission";
import { isProblem } from "@/lib/problem";

import { consoleCommand } from "../command-lines";
import { useDatabaseNews } from "../news";
import { RoomTabs } from "../tabs";
import { keepDraft, selectFrom, useDraft, type Mode } from "./drafts";
import { CONSOLE, consoleQuery, exportRows, killQuery, measureWrite, newId, runQuery, wordsQuery, writeQuery, type ConsoleServer, type ConsoleView, type Form, type QueryResult } from "./requests";
import { ResultPanel } from "./result-panel";
import type { SqlEditorHandle } from "./sql-editor";
import { faultOf, StatementError } from "./statement-error";

const SqlEditor = lazy(() => import("./sql-editor"));
const HistoryPanel = lazy(() => import("./history-panel"));
const WritesPanel = lazy(() => import("./writes-panel"));
const WriteCard = lazy(() => import("./write-card"));

const route = getRouteApi("/databases/console");

export function ConsolePage(): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(consoleQuery);
  useDatabaseNews();
  const isUnconnected = isProblem(query.error, "databases-not-connected");
  return (
    <Page title={t("databases.console.title")}>
      <RoomTabs now="console" />
      {isUnconnected || query.data?.servers.length === 0 ? (
        <div className="rounded-lg border border-line bg-panel">
          <Empty title={t("databases.notice.none")}>{t("databases.notice.noneNext")}</Empty>
        </div>
      ) : (
        <QueryView query={query}>{(view) => <Console view={view} />}</QueryView>
      )}
    </Page>
  );
}

function Console({ view }: { view: ConsoleView }): ReactNode {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const mode: Mode = search.mode ?? "read";
  const server = view.servers.find(({ name }) => name === search.server) ?? view.servers[0];
  if (!server) return null;
  const database = search.database !== undefined && server.databases.includes(search.database) ? search.database : null;
  const go = (change: Partial<typeof search>): void => void navigate({ search: (now) => ({ ...now, ...change }), replace: true });
  return (
    <div className="flex flex-col gap-4">
      <Desk key={mode} view={view} server={server} database={database} mode={mode} table={search.table} onGo={go} />
      {search.write !== undefined && mode === "write" && (
        <Suspense fallback={<Skeleton />}>
          <WriteCard key={search.write} id={search.write} onNext={(write) => go({ write })} />
        </Suspense>
      )}
      <Records tab={search.tab} mode={mode} onGo={go} />
    </div>
  );
}

type Go = (change: { tab?: "history" | "writes"; mode?: "write"; server?: string; database?: string; table?: string; write?: string }) => void;

/** Where the statement goes, the statement, and what becomes of it. */
function Desk({ view, server, database, mode, table, onGo }: { view: ConsoleView; server: ConsoleServer; database: string | null; mode: Mode; table: string | undefined; onGo: Go }): ReactNode {
  const { t } = useTranslation();
  const client = useQueryClient();
  const statement = useDraft(mode);
  const setStatement = (text: string): void => keepDraft(mode, text);
  const [running, setRunning] = useState<{ id: string; what: "query" | "export" } | null>(null);
  const [result, setResult] = useState<QueryResult | null>(null);
  const editor = useRef<SqlEditorHandle>(null);
  const mayWrite = usePermission("console:write").isPermitted;
  const { data: words } = useQuery({ ...wordsQuery(server.name, database ?? ""), enabled: database !== null && server.console.is_on });
  const place = { server: server.name, database };
  useEffect(() => {
    if (table !== undefined) keepDraft("read", selectFrom(table)); // who comes from a table wants to see it
  }, [table]);

  const run = useAct(async () => {
    const id = newId();
    setRunning({ id, what: "query" });
    setResult(null);
    try {
      setResult(await runQuery(id, place, statement));
    } finally {
      setRunning(null);
      void client.invalidateQueries({ queryKey: [...CONSOLE, "history"] });
    }
  });
  const save = useAct(async (form: Form) => {
    const id = newId();
    setRunning({ id, what: "export" });
    try {
      saveBlob(`${database ?? server.name}.${form}`, await exportRows(id, place, statement, form));
      toast(t("databases.console.exported"));
    } finally {
      setRunning(null);
      void client.invalidateQueries({ queryKey: [...CONSOLE, "history"] });
    }
  });
  const measure = useAct(async () => {
    const write = await measureWrite(server.name, database ?? "", statement);
    client.setQueryData(writeQuery(write.id).queryKey, write);
    void client.invalidateQueries({ queryKey: [...CONSOLE, "writes"], refetchType: "none" });
    onGo({ write: write.id });
  });
  const kill = useAct(async () => {
    if (running) await killQuery(running.id);
  });
  const acts = [run, save, measure];
  const error = acts.map((each) => each.error).find((each) => each !== null) ?? null;
  const begin = (act: () => void): void => {
    for (const each of [...acts, kill]) each.reset();
    act();
  };

  const gate = mode === "write" ? server.write : server.console;
  const isEmpty = statement.trim() === "";
  const isBusy = running !== null || measure.isPending;
  const isReady = gate.is_on && !isEmpty && !isBusy && (mode === "read" || database !== null);
  const main = (): void => {
    if (isReady) begin(() => (mode === "write" ? measure : run).mutate());
  };
  return (
    <>
      <section aria-label={t("databases.console.title")} className={`min-w-0 rounded-lg border bg-panel ${mode === "write" ? "border-2 border-warn" : "border-line"}`}>
        <Bar view={view} server={server} database={database} mode={mode} mayWrite={mayWrite} onGo={onGo} />
        <Gate gate={gate} mode={mode} needsDatabase={mode === "write" && database === null} />
        <Suspense fallback={<Skeleton rows={4} />}>
          <SqlEditor ref={editor} example={mode === "write" ? "UPDATE …" : "SELECT …"} value={statement} words={words} fault={faultOf(error)} onChange={setStatement} onRun={main} />
        </Suspense>
        <div className="flex flex-wrap items-center gap-2 border-t border-line px-3 py-2">
          {mode === "write" ? (
            <Button look="primary" disabled={!isReady && !measure.isPending} busy={measure.isPending} onClick={main}>
              <Ruler size={14} aria-hidden />
              {t("databases.write.measure")}
            </Button>
          ) : (
            <>
              <Button look="primary" disabled={!isReady && !run.isPending} busy={run.isPending} onClick={main}>
                <Play size={14} aria-hidden />
                {t("databases.console.run")}
              </Button>
              <Export isReady={isReady} onExport={(form) => begin(() => save.mutate(form))} command={consoleCommand("export", server.name, database ?? undefined, statement)} />
            </>
          )}
          {running && (
            <>
              <Button busy={kill.isPending} onClick={() => kill.mutate()}>
                <CircleStop size={14} aria-hidden />
                {t("databases.console.kill")}
              </Button>
              <span role="status">
                <Status tone="running">{t(`databases.console.running.${running.what}`)}</Status>
              </span>
            </>
          )}
          <kbd className="hidden text-xs text-muted sm:inline">Ctrl + Enter</kbd>
          <Limits view={view} mode={mode} />
        </div>
        {error && <StatementError error={error} statement={statement} onGoTo={(position) => editor.current?.goTo(position)} />}
      </section>
      <CommandLine command={consoleCommand(mode === "write" ? "write" : "query", server.name, database ?? undefined, statement)} />
      {result && mode === "read" && <ResultPanel key={result.id} result={result} />}
    </>
  );
}

function Bar({ view, server, database, mode, mayWrite, onGo }: { view: ConsoleView; server: ConsoleServer; database: string | null; mode: Mode; mayWrite: boolean; onGo: Go }): ReactNode {
  const { t } = useTranslation();
  const { role } = usePermission("console:write");
  const why = !mayWrite && role ? t("common.needsRole", { role: t(`role.${role}`) }) : undefined;
  return (
    <header className={`flex flex-wrap items-end gap-3 border-b px-3 py-2 ${mode === "write" ? "border-warn bg-warn/12" : "border-line"}`}>
      <div className="w-40 max-w-full">
        <SelectField label={t("databases.column.server")} value={server.name} onChange={(event) => onGo({ server: event.target.value, database: undefined, table: undefined })}>
          {view.servers.map(({ name }) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </SelectField>
      </div>
      <div className="w-56 max-w-full">
        <SelectField label={t("databases.column.database")} value={database ?? ""} onChange={(event) => onGo({ server: server.name, database: event.target.value || undefined, table: undefined })}>
          <option value="">{t("databases.console.noDatabase")}</option>
          {server.databases.map((each) => (
            <option key={each} value={each}>
              {visible(each)}
            </option>
          ))}
        </SelectField>
      </div>
      <div role="group" aria-label={t("databases.console.mode")} className="flex">
        <Button aria-pressed={mode === "read"} className="rounded-r-none aria-pressed:border-accent aria-pressed:bg-accent/12" onClick={() => onGo({ mode: undefined })}>
          <TextSearch size={14} aria-hidden />
          {t("databases.console.read")}
        </Button>
        <Button aria-pressed={mode === "write"} disabled={!mayWrite} title={why} className="-ml-px rounded-l-none aria-pressed:border-warn aria-pressed:bg-warn/20" onClick={() => onGo({ mode: "write" })}>
          <Pencil size={14} aria-hidden />
          {t("databases.console.write")}
        </Button>
      </div>
      <p className={`text-sm ${mode === "write" ? "font-medium text-warn" : "text-muted"}`}>{t(mode === "write" ? "databases.console.writeAbout" : "databases.console.readAbout")}</p>
    </header>
  );
}

/** What keeps the mode off on this server, where something does. */
function Gate({ gate, mode, needsDatabase }: { gate: ConsoleServer["console"]; mode: Mode; needsDatabase: boolean }): ReactNode {
  const { t } = useTranslation();
  if (gate.is_on) return needsDatabase ? <p className="px-3 pt-2 text-sm text-muted">{t("databases.write.needsDatabase")}</p> : null;
  return (
    <div role="alert" className="m-3 flex flex-col gap-1 rounded border-l-4 border-warn bg-sunken px-3 py-2 text-sm">
      <p className="font-medium">{t(mode === "write" ? "databases.console.writeOff" : "databases.console.off")}</p>
      {gate.why && (
        <p lang="en" className="text-xs text-muted">
          <Quoted>{gate.why}</Quoted>
        </p>
      )}
    </div>
  );
}

function Limits({ view: { limits }, mode }: { view: ConsoleView; mode: Mode }): ReactNode {
  const { t } = useTranslation();
  return (
    <p className="ml-auto text-xs text-muted">
      {mode === "write"
        ? t("databases.console.writeLimits", { rows: limits.write_rows, size: bytes(limits.write_bytes), days: limits.undo_days })
        : t("databases.console.limits", { time: duration(limits.query_s), rows: limits.query_rows, size: bytes(limits.query_bytes) })}
    </p>
  );
}

function Export({ isReady, onExport, command }: { isReady: boolean; onExport: (form: Form) => void; command: string }): ReactNode {
  const { t } = useTranslation();
  const mayExport = usePermission("console:export").isPermitted;
  if (!mayExport) return null;
  return (
    <DropDown label={t("databases.console.export")} icon={<Download size={14} aria-hidden />}>
      {(["csv", "ndjson"] as const).map((form) => (
        <button key={form} type="button" disabled={!isReady} className={buttonLook("quiet", "!justify-start font-normal")} onClick={() => onExport(form)}>
          {t(`databases.console.form.${form}`)}
        </button>
      ))}
      <CommandLine command={command} />
    </DropDown>
  );
}

/** What was run and what was written, below the desk. */
function Records({ tab, mode, onGo }: { tab: "history" | "writes" | undefined; mode: Mode; onGo: Go }): ReactNode {
  const { t } = useTranslation();
  const now = tab ?? (mode === "write" ? "writes" : "history");
  return (
    <div className="flex flex-col gap-4">
      <Tabs label={t("databases.console.records")}>
        {(["history", "writes"] as const).map((each) => (
          <Link key={each} to="/databases/console" search={(search) => ({ ...search, tab: each })} replace {...tabLook(now === each)}>
            {t(`databases.console.tabs.${each}`)}
          </Link>
        ))}
      </Tabs>
      <Suspense fallback={<Skeleton />}>
        {now === "history" ? (
          <HistoryPanel
            onUse={({ act, server, database, statement }) => {
              keepDraft(act === "write" ? "write" : "read", statement);
              onGo({ server, database: database ?? undefined, mode: act === "write" ? "write" : undefined, write: undefined });
              scrollTo({ top: 0 });
            }}
          />
        ) : (
          <WritesPanel onOpen={(write) => onGo({ mode: "write", write })} />
        )}
      </Suspense>
    </div>
  );
}
