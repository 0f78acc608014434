/** One act on several containers, with what became of each; those that failed can be tried again alone. */

import { Link } from "@tanstack/react-router";
import { X } from "lucide-react";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button, buttonLook, IconButton } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { Dialog, DialogButtons } from "@/components/dialog";
import { Quoted } from "@/components/quoted";
import { Status } from "@/components/status";
import { MAX_MERGED } from "@/features/logs/sources";
import { OPERATIONS } from "@/features/operations/requests";
import { usePermission } from "@/features/session/policy";
import { useAct } from "@/lib/act";
import { Problem } from "@/lib/problem";
import { useProblemText } from "@/lib/problem-text";

import { actOnContainers, CONTAINERS, type BulkResult, type ContainerView, type ContainerAct } from "./requests";

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
  const permissions = { start: usePermission("containers:start"), restart: usePermission("containers:restart"), stop: usePermission("containers:stop") };
  const [asked, setAsked] = useState<ContainerAct | null>(null);
  const [answer, setAnswer] = useState<{ act: ContainerAct; results: readonly BulkResult[] } | null>(null);
  const run = useAct(({ names, act }: { names: string[]; act: ContainerAct }) => actOnContainers(names, act), {
    refreshes: [CONTAINERS, OPERATIONS],
    onDone: ({ results }, { act }) => {
      setAsked(null);
      setAnswer({ act, results });
      onKeep(results.filter(({ problem }) => problem).map(({ name }) => name));
    },
  });
  const isEmpty = containers.length === 0;
  return (
    <div className={isEmpty ? "contents" : BAR}>
      {!isEmpty && (
        <>
          <span role="status" className="text-sm font-medium">
            {t("containers.selected", { count: containers.length })}
          </span>
          {ACTS.map((act) => (
            <Button key={act} disabled={isStale || !permissions[act].isPermitted} onClick={() => setAsked(act)}>
              {t(`containers.${act}.verb`)}
            </Button>
          ))}
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
      {asked && (
        <Confirm
          title={t(`containers.${asked}.many`, { count: containers.length })}
          verb={t(`containers.${asked}.verb`)}
          act={run}
          isDangerous={asked === "stop"}
          onConfirm={() => run.mutate({ names: containers.map(({ name }) => name), act: asked })}
          onClose={() => setAsked(null)}
        >
          <ul className="max-h-48 list-disc overflow-y-auto pl-5">
            {containers.map(({ name }) => (
              <li key={name}>
                <Quoted>{name}</Quoted>
              </li>
            ))}
          </ul>
          {asked !== "start" && containers.some(({ is_protected }) => is_protected) && <p>{t("containers.bulkProtected")}</p>}
        </Confirm>
      )}
      {answer && (
        <Dialog title={t(`containers.${answer.act}.many`, { count: answer.results.length })} onClose={() => setAnswer(null)}>
          <ul className="flex max-h-80 flex-col divide-y divide-line overflow-y-auto text-sm">
            {answer.results.map((result) => (
              <ResultRow key={result.name} result={result} />
            ))}
          </ul>
          <DialogButtons>
            {answer.results.some(({ problem }) => problem) && (
              <Button
                busy={run.isPending}
                onClick={() => run.mutate({ act: answer.act, names: answer.results.filter(({ problem }) => problem).map(({ name }) => name) })}
              >
                {t("containers.retryFailed")}
              </Button>
            )}
            <Button look="primary" onClick={() => setAnswer(null)}>
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
