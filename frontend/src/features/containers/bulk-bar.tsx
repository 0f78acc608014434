/**
 * One act on several containers. Starting and stopping are a plan: the difference first, then what became of each, and the
 * way back. A restart tells at once which has begun and why another has not. What failed can be tried again alone.
 */

import { Link } from "@tanstack/react-router";
import { X } from "lucide-react";
import { lazy, Suspense, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button, buttonLook, IconButton } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { Dialog, DialogButtons } from "@/components/dialog";
import { Quoted } from "@/components/quoted";
import { Status } from "@/components/status";
import { MAX_MERGED } from "@/components/logs/sources";
import { OPERATIONS } from "@/lib/operations";
import { usePermission } from "@/lib/permission";
import { useAct } from "@/lib/act";
import { planContainers } from "@/lib/plans";
import { Problem } from "@/lib/problem";
import { useProblemText } from "@/lib/problem-text";

import { CONTAINERS, restartContainers, type BulkResult, type ContainerAct, type ContainerView } from "./requests";

const PlanDialog = lazy(() => import("@/components/plan-dialog"));

const BAR = "sticky top-12 z-10 flex flex-wrap items-center gap-2 rounded-lg border border-accent bg-panel px-3 py-1.5 shadow-sm";
const ACTS = ["start", "restart", "stop"] as const;

export function BulkBar({
  containers,
  isStale,
  onClear,
  onKeep,
}: {
  containers: readonly ContainerView[];
  isStale: boolean;
  onClear: () => void;
  onKeep: (names: readonly string[]) => void;
}): ReactNode {
  const { t } = useTranslation();
  const planned = usePermission("containers:apply");
  const permissions = { start: planned, restart: usePermission("containers:restart"), stop: planned };
  // Whom it is for is kept apart from what is selected: the list goes on while a dialog is open.
  const [asked, setAsked] = useState<{ act: ContainerAct; of: readonly ContainerView[] } | null>(null);
  const [results, setResults] = useState<readonly BulkResult[] | null>(null);
  const run = useAct((names: string[]) => restartContainers(names), {
    refreshes: [CONTAINERS, OPERATIONS],
    onDone: (answer) => {
      setAsked(null);
      setResults(answer.results);
      onKeep(answer.results.filter(({ problem }) => problem).map(({ name }) => name));
    },
  });
  const isEmpty = containers.length === 0;
  const why = isStale ? t("containers.staleActs") : !planned.isPermitted && planned.role ? t("common.needsRole", { role: t(`role.${planned.role}`) }) : null;
  return (
    <div className={isEmpty ? "contents" : BAR}>
      {!isEmpty && (
        <>
          <span role="status" className="text-sm font-medium">
            {t("containers.selected", { count: containers.length })}
          </span>
          {ACTS.map((act) => (
            <Button key={act} disabled={isStale || !permissions[act].isPermitted} onClick={() => setAsked({ act, of: containers })}>
              {t(`containers.${act}.verb`)}
            </Button>
          ))}
          {why && <span className="text-xs text-muted">{why}</span>}
          {containers.length <= MAX_MERGED && (
            <Link to="/logs" search={{ of: containers.map(({ name }) => name).join(",") }} className={buttonLook()}>
              {t("containers.mergedLogs")}
            </Link>
          )}
          <IconButton label={t("containers.clearSelection")} onClick={onClear} className="ml-auto">
            <X size={16} aria-hidden />
          </IconButton>
        </>
      )}
      {asked?.act === "restart" && (
        <Confirm
          title={t("containers.restart.many", { count: asked.of.length })}
          verb={t("containers.restart.verb")}
          act={run}
          isDangerous={false}
          onConfirm={() => run.mutate(asked.of.map(({ name }) => name))}
          onClose={() => setAsked(null)}
        >
          <ul className="max-h-48 list-disc overflow-y-auto pl-5">
            {asked.of.map(({ name }) => (
              <li key={name}>
                <Quoted>{name}</Quoted>
              </li>
            ))}
          </ul>
          {asked.of.some(({ is_protected }) => is_protected) && <p>{t("containers.bulkProtected")}</p>}
        </Confirm>
      )}
      {(asked?.act === "start" || asked?.act === "stop") && (
        <Suspense>
          <PlanDialog
            title={t(`containers.${asked.act}.many`, { count: asked.of.length })}
            verb={t(`containers.${asked.act}.verb`)}
            isDangerous={asked.act === "stop"}
            make={() =>
              planContainers(
                asked.of.map(({ name }) => name),
                asked.act === "start" ? "running" : "stopped",
              )
            }
            onClose={() => setAsked(null)}
          />
        </Suspense>
      )}
      {results && (
        <Dialog title={t("containers.restart.many", { count: results.length })} onClose={() => setResults(null)}>
          <ul className="flex max-h-80 flex-col divide-y divide-line overflow-y-auto text-sm">
            {results.map((result) => (
              <ResultRow key={result.name} result={result} />
            ))}
          </ul>
          <DialogButtons>
            {results.some(({ problem }) => problem) && (
              <Button busy={run.isPending} onClick={() => run.mutate(results.filter(({ problem }) => problem).map(({ name }) => name))}>
                {t("containers.retryFailed")}
              </Button>
            )}
            <Button look="primary" onClick={() => setResults(null)}>
              {t("common.close")}
            </Button>
          </DialogButtons>
        </Dialog>
      )}
    </div>
  );
}

function ResultRow({ result: { name, operation, problem } }: { result: BulkResult }): ReactNode {
  const { t } = useTranslation();
  return (
    <li className="flex flex-wrap items-center justify-between gap-x-3 py-1.5">
      <Quoted>{name}</Quoted>
      {operation ? (
        <Link to="/operations/$id" params={{ id: operation.id }} className="underline">
          <Status tone="running">{t("containers.begun")}</Status>
        </Link>
      ) : (
        <Refused problem={new Problem(409, problem)} />
      )}
    </li>
  );
}

function Refused({ problem }: { problem: Problem }): ReactNode {
  const { what } = useProblemText(problem);
  return <Status tone="bad">{what}</Status>;
}
