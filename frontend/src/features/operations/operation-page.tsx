/** One operation: a place of its own, which can be left and come back to. */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { Download, Undo2 } from "lucide-react";
import { lazy, Suspense, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button, buttonLook } from "@/components/button";
import { CancelOperation } from "@/components/cancel-operation";
import { CommandLine } from "@/components/copy";
import { ItemResults } from "@/components/item-results";
import { OperationResult } from "@/components/operation-result";
import { OperationStatus } from "@/components/operation-status";
import { Page } from "@/components/page";
import { Fact, Facts, Panel } from "@/components/panel";
import { PlanChanges } from "@/components/plan-changes";
import { ProgressBar } from "@/components/progress-bar";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { InlineError } from "@/components/states";
import { Time } from "@/components/time";
import { useActName, useOperationName } from "@/lib/act-name";
import { useNow } from "@/lib/clock";
import { saveText } from "@/lib/download";
import { absoluteTime, duration } from "@/lib/format";
import { withTexts } from "@/lib/language";
import { operationQuery, type OperationView } from "@/lib/operations";
import { usePermission } from "@/lib/permission";
import { changesOf, resultsOf, roomOf, undoable } from "@/lib/plans";
import { Problem } from "@/lib/problem";
import { restoreOf } from "@/lib/restore";
import type en from "@/locales/en.json";

const UndoDialog = lazy(async () => ({ default: (await import("@/components/plan-dialog")).UndoDialog }));

const OfSites = lazy(() => withTexts(import("./of-sites"), "wordpress", "sites"));
const SITES = /^(?:sites:apply|wordpress:update)$/; // acts whose outcome has a page of its own

const FOLLOW_MS = 5_000; // the event stream is quicker, but what was asked before an event may be answered after it
const SHOWN_ELSEWHERE = new Set(["changes", "plan_id", "undoes"]);

const route = getRouteApi("/operations/$id");

export function OperationPage(): ReactNode {
  const { t } = useTranslation();
  const nameOf = useOperationName();
  const { id } = route.useParams();
  const query = useQuery({ ...operationQuery(id), refetchInterval: ({ state }) => (state.data?.state === "running" ? FOLLOW_MS : false) });
  const title = query.data ? t("operations.title", nameOf(query.data)) : t("pages.operations");
  return (
    <Page
      title={title}
      aside={query.data && <Acts operation={query.data} />}
      lead={
        <Link to="/operations" className="hover:underline">
          ← {t("pages.operations")}
        </Link>
      }
    >
      <QueryView query={query}>{(operation) => <Details operation={operation} />}</QueryView>
      <CommandLine command={`homeport operations show ${id}`} />
    </Page>
  );
}

function Details({ operation }: { operation: OperationView }): ReactNode {
  const { t, i18n } = useTranslation();
  const now = useNow();
  const actName = useActName();
  const [changes, results] = [changesOf(operation), resultsOf(operation)];
  const ranMs = (operation.ended_at ? Date.parse(operation.ended_at) : now) - Date.parse(operation.started_at);
  return (
    <div className="grid items-start gap-4 lg:grid-cols-[minmax(20rem,1fr)_2fr]">
      <Panel title={t("operations.what")}>
        <Facts>
          <Fact name={t("operations.stateLabel")}>
            <span aria-live="polite">
              <OperationStatus operation={operation} />
            </span>
            {operation.outcome_detail && (
              <p className="text-xs text-muted">
                <Quoted>{operation.outcome_detail}</Quoted>
              </p>
            )}
          </Fact>
          {operation.state === "running" && (
            <Fact name={t("operations.progress")}>
              <ProgressBar operation={operation} />
              <p className="text-xs text-muted">{t("operations.mayLeave")}</p>
            </Fact>
          )}
          <Fact name={t("operations.actor")}>
            <Quoted>{operation.actor.name}</Quoted>
          </Fact>
          <Fact name={t("operations.started")}>
            <Time value={operation.started_at} absolute />
          </Fact>
          <Fact name={t("operations.took")}>
            {duration(ranMs / 1000)}
            {operation.typical_s !== null && <span className="text-muted"> · {t("operations.typical", { time: duration(operation.typical_s) })}</span>}
          </Fact>
          {operation.cancelled_by !== null && (
            <Fact name={t("operations.cancelledBy")}>
              <Quoted>{operation.cancelled_by}</Quoted>
            </Fact>
          )}
          {Object.entries(operation.detail ?? {})
            .filter(([name, value]) => !SHOWN_ELSEWHERE.has(name) && value !== null)
            .map(([name, value]) => (
              <Fact key={name} name={i18n.exists(`operations.detail.${name}`) ? t(`operations.detail.${name as keyof typeof en.operations.detail}`) : name}>
                <Detail name={name} value={value} act={operation.act} />
              </Fact>
            ))}
          {changes && operation.detail?.["undoes"] != null && <Fact name={t("operations.kind")}>{t("plan.isUndo")}</Fact>}
          {operation.inverse && operation.inverse.plan_id === null && (
            <Fact name={t("operations.undo")}>
              {actName(operation.inverse.act)} · <Quoted>{operation.inverse.target}</Quoted>
            </Fact>
          )}
        </Facts>
        {operation.error && (
          <div className="px-3 pb-3">
            <InlineError error={new Problem(409, operation.error)} />
            {operation.error.detail && (
              <p className="pt-1 text-xs text-muted">
                <Quoted>{operation.error.detail}</Quoted>
              </p>
            )}
          </div>
        )}
      </Panel>
      <div className="flex min-w-0 flex-col gap-4">
        {((changes?.length ?? 0) > 0 || results.length > 0) && (
          <Panel title={t(results.length > 0 ? "operations.results" : "plan.changes")}>
            <div className="p-2">{results.length > 0 ? <ItemResults results={results} nameOf={roomOf(operation.act)?.nameOf} /> : <PlanChanges changes={changes ?? []} nameOf={roomOf(operation.act)?.nameOf} />}</div>
          </Panel>
        )}
        <OperationResult result={operation.result} />
        {SITES.test(operation.act) && (
          <Suspense>
            <OfSites operation={operation} />
          </Suspense>
        )}
        <Panel
          title={t("operations.log")}
          aside={
            operation.lines.length > 0 && (
              <Button onClick={() => saveText(`${operation.id}.log`, operation.lines.map(({ at, text }) => `${new Date(at * 1000).toISOString()} ${text}\n`).join(""))}>
                <Download size={14} aria-hidden />
                {t("common.download")}
              </Button>
            )
          }
        >
          {operation.lines.length === 0 ? (
            <p className="p-3 text-sm text-muted">{t("operations.noLines")}</p>
          ) : (
            <div role="log" aria-live="off" aria-label={t("operations.log")} tabIndex={0} className="max-h-[60dvh] overflow-auto p-3 font-mono text-xs">
              <ol>
                {operation.lines.map(({ number, at, text }) => (
                  <li key={number} className="flex gap-3">
                    <time className="shrink-0 text-muted">{absoluteTime(at * 1000, { zone: false }).slice(11)}</time>
                    <Quoted>{text}</Quoted>
                  </li>
                ))}
              </ol>
            </div>
          )}
        </Panel>
      </div>
    </div>
  );
}

/** What was asked for, as it was said; what a backup's unit does has a record of its own. */
function Detail({ name, value, act }: { name: string; value: unknown; act: string }): ReactNode {
  const { t } = useTranslation();
  if (name === "run" && typeof value === "string" && act.startsWith("backups:")) {
    return (
      <Link to="/backups/runs/$id" params={{ id: value }} className="underline">
        <Quoted mono>{value}</Quoted>
      </Link>
    );
  }
  return <Quoted>{typeof value === "string" ? value : Array.isArray(value) ? value.join(t("common.listSeparator")) : JSON.stringify(value)}</Quoted>;
}

/** What can still be done about it: cancel it while it runs, take it back when it has ended. */
function Acts({ operation }: { operation: OperationView }): ReactNode {
  return (
    <>
      <CancelOperation operation={operation} />
      <Undo operation={operation} />
      <ToRestore operation={operation} />
    </>
  );
}

/** A preview is looked at where it was asked for; a restore that has not come about begins there again. */
function ToRestore({ operation }: { operation: OperationView }): ReactNode {
  const { t } = useTranslation();
  const search = restoreOf(operation);
  if (!search || (operation.act === "backups:restore" && (operation.state === "running" || operation.state === "done"))) return null;
  return (
    <Link to="/backups/restore" search={search} className={buttonLook()}>
      {t(search.preview === undefined ? "operations.previewAgain" : "operations.toPreview")}
    </Link>
  );
}

function Undo({ operation }: { operation: OperationView }): ReactNode {
  const { t } = useTranslation();
  const { isPermitted, role } = usePermission(operation.act);
  const [isAsked, setAsked] = useState(false);
  if (undoable(operation) === null) return null;
  return (
    <>
      <Button disabled={!isPermitted} title={isPermitted || !role ? undefined : t("common.needsRole", { role: t(`role.${role}`) })} onClick={() => setAsked(true)}>
        <Undo2 size={14} aria-hidden />
        {t("plan.undo")}
      </Button>
      {isAsked && (
        <Suspense>
          <UndoDialog operation={operation} onClose={() => setAsked(false)} />
        </Suspense>
      )}
    </>
  );
}
