/**
 * Plan -> apply -> undo in one dialog, for every room that offers it (lib/plans.ts).
 *
 *   <PlanDialog title verb make={() => planContainers(["mail-api"], "stopped")} onClose={...} />
 *   <UndoDialog operation={operation} onClose={...} />
 *
 * Shows what would change and what suffers, asks for what a protected name needs, applies exactly what is shown. When
 * the world has changed since, nothing is done, and the new difference is shown to be looked at again. One change ends
 * the dialog once it has begun: the row and a toast tell the rest. Several are followed here, with a result each; closing
 * the dialog stops nothing.
 */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { RotateCw, TriangleAlert, Undo2 } from "lucide-react";
import { lazy, Suspense, useEffect, useEffectEvent, useId, useRef, useState, type ReactNode } from "react";
import { createPortal } from "react-dom";
import { useTranslation } from "react-i18next";

import type { OperationView } from "@/api/types.gen";
import { useAct } from "@/lib/act";
import { useOperationName } from "@/lib/act-name";
import { visible } from "@/lib/hostile-text";
import { withTexts } from "@/lib/language";
import { operationQuery, OPERATIONS } from "@/lib/operations";
import { usePermission } from "@/lib/permission";
import { changeCount, changesOf, newPlanIn, recordProblemsIn, resultsOf, roomOf, undoable, type Plan } from "@/lib/plans";
import { Problem } from "@/lib/problem";
import { quoted } from "@/lib/shell";

import { Button } from "./button";
import { CommandLine } from "./copy";
import { Dialog, DialogButtons } from "./dialog";
import { TextField } from "./field";
import { ItemResults } from "./item-results";
import { OperationStatus } from "./operation-status";
import { PlanChanges } from "./plan-changes";
import { ProgressBar } from "./progress-bar";
import { InlineError, Skeleton } from "./states";
import { Uses } from "./uses";

const MIN_REASON = 3;
const MAX_NAMED = 10;
const MAX_SKIPPED = 100;

const RecordProblems = lazy(() => withTexts(import("./record-problems"), "dns", "records"));

const PlanRestorePoint = lazy(() => withTexts(import("./plan-restore-point"), "sites"));

const PlanWarnings = lazy(() => withTexts(import("./plan-warnings"), "mail"));

interface Task {
  title: string;
  verb: string;
  isDangerous?: boolean;
  make: () => Promise<Plan>;
}

/** `onApplied`: it has begun, whatever becomes of it. */
export default function PlanDialog({ onClose, onApplied, ...first }: Task & { onClose: () => void; onApplied?: () => void }): ReactNode {
  const [{ task, number }, setTask] = useState<{ task: Task; number: number }>({ task: first, number: 0 });
  return <Steps key={number} {...task} onNext={(next) => setTask({ task: next, number: number + 1 })} onClose={onClose} onBegun={onApplied} />;
}

/** The way back from what an operation has applied. */
export function UndoDialog({ operation, onClose }: { operation: OperationView; onClose: () => void }): ReactNode {
  const undo = useUndo();
  return <PlanDialog {...undo(operation)} onClose={onClose} />;
}

function useUndo(): (operation: OperationView) => Task {
  const { t } = useTranslation();
  const nameOf = useOperationName();
  return (operation) => ({
    title: t("plan.undoTitle", nameOf(operation)),
    verb: t("plan.undo"),
    make: async () => {
      const [room, id] = [roomOf(operation.act), undoable(operation)];
      if (!room || id === null) throw new Error(`${operation.act} cannot be undone`);
      return room.undo({ id, target: operation.inverse?.target ?? operation.target });
    },
  });
}

function Steps({
  title,
  verb,
  isDangerous = false,
  make,
  onNext,
  onClose,
  onBegun,
}: Task & { onNext: (next: Task) => void; onClose: () => void; onBegun?: () => void }): ReactNode {
  const { t } = useTranslation();
  const [plan, setPlan] = useState<Plan | null>(null);
  const [was, setWas] = useState<Plan | "unseen" | null>(null); // the plan that did not hold
  const [operation, setOperation] = useState<OperationView | null>(null);
  const cancel = useRef<HTMLButtonElement>(null);
  const making = useAct(async () => {
    try {
      setPlan(await make());
    } catch (error) {
      const found = newPlanIn(error);
      if (!found) throw error;
      setWas("unseen");
      setPlan(found);
    }
  });
  const begin = useEffectEvent(() => making.mutate());
  useEffect(() => begin(), []);
  // One button that ends the dialog, whatever it shows: the focus is on it, and would be lost with it.
  const [footer, setFooter] = useState<HTMLElement | null>(null);
  const isOver = operation !== null || making.error !== null || plan?.changes.length === 0;
  return (
    <Dialog title={title} onClose={onClose} initialFocus={cancel} wide>
      {operation ? (
        <Followed id={operation.id} footer={footer} title={title} verb={verb} isDangerous={isDangerous} onNext={onNext} />
      ) : plan ? (
        <Review
          key={plan.id}
          plan={plan}
          was={was}
          verb={verb}
          isDangerous={isDangerous}
          footer={footer}
          onStale={(found) => {
            setWas(plan);
            setPlan(found);
            cancel.current?.focus(); // what is shown now has not been read yet
          }}
          onApplied={(begun) => {
            onBegun?.();
            if (changeCount(plan) === 1) return onClose();
            setOperation(begun);
            cancel.current?.focus();
          }}
        />
      ) : making.error ? (
        <>
          <InlineError error={making.error} />
          <Suspense>
            <RecordProblems problems={recordProblemsIn(making.error)} />
          </Suspense>
        </>
      ) : (
        <Skeleton rows={3} />
      )}
      <DialogButtons>
        <Button ref={cancel} onClick={onClose}>
          {t(isOver ? "common.close" : "common.cancel")}
        </Button>
        <span ref={setFooter} className="contents" />
      </DialogButtons>
    </Dialog>
  );
}

/** What would change, what it needs, and the button that does it. */
function Review({
  plan,
  was,
  verb,
  isDangerous,
  footer,
  onStale,
  onApplied,
}: {
  plan: Plan;
  was: Plan | "unseen" | null;
  verb: string;
  isDangerous: boolean;
  footer: HTMLElement | null; // where its button belongs
  onStale: (plan: Plan) => void;
  onApplied: (operation: OperationView) => void;
}): ReactNode {
  const { t } = useTranslation();
  const client = useQueryClient();
  const room = roomOf(plan.act);
  const { isPermitted, role, needsTypedName } = usePermission(room?.permission ?? plan.act);
  const guarded = plan.changes.filter((change) => change.is_protected && room?.isInterrupting(change)).map(({ name }) => name);
  const [typed, setTyped] = useState<Readonly<Record<string, string>>>({});
  const [reason, setReason] = useState("");
  const [withoutPoint, setWithoutPoint] = useState(false);
  const apply = useAct(async () => {
    if (!room) throw new Error(`no room applies ${plan.act}`);
    try {
      const operation = await room.apply(plan, { typed_names: guarded, reason: guarded.length > 0 ? reason.trim() : null, ...(plan.restore_point && { without_restore_point: withoutPoint }) });
      client.setQueryData(operationQuery(operation.id).queryKey, operation);
      void client.invalidateQueries({ queryKey: [...OPERATIONS] });
      onApplied(operation);
    } catch (error) {
      const found = newPlanIn(error);
      if (!found) throw error;
      onStale(found);
    }
  });
  const isReady = guarded.every((name) => !needsTypedName(true) || typed[name] === name) && (guarded.length === 0 || reason.trim().length >= MIN_REASON) && (plan.restore_point !== "none" || withoutPoint);
  const isEmpty = plan.changes.length === 0;
  const unchanged = plan.counts?.["unchanged"] ?? plan.unchanged.length; // of which not every one may be named
  const form = useId();
  return (
    <form
      id={form}
      className="flex flex-col gap-3 text-sm"
      onSubmit={(event) => {
        event.preventDefault();
        if (isReady && isPermitted && !isEmpty && !apply.isPending) apply.mutate();
      }}
    >
      {was && (
        <p role="alert" className="flex gap-2 rounded border-l-4 border-warn bg-sunken px-3 py-2">
          <TriangleAlert size={15} aria-hidden className="mt-0.5 shrink-0 text-warn" />
          {t(was === "unseen" ? "plan.changedSince" : "plan.stale")}
        </p>
      )}
      {plan.counts && <Extent plan={plan} counts={plan.counts} />}
      {isEmpty ? <p>{t("plan.nothing")}</p> : <PlanChanges changes={plan.changes} count={changeCount(plan)} nameOf={room?.nameOf} was={was === null || was === "unseen" ? undefined : was.changes} />}
      {plan.warnings && plan.warnings.length > 0 && (
        <Suspense>
          <PlanWarnings warnings={plan.warnings} />
        </Suspense>
      )}
      {plan.restore_point && !isEmpty && (
        <Suspense>
          <PlanRestorePoint restorePoint={plan.restore_point} isWithout={withoutPoint} onWithout={setWithoutPoint} />
        </Suspense>
      )}
      {plan.unchanged.length > 0 && !isEmpty && (
        <p className="text-muted">
          {t("plan.unchanged", { names: plan.unchanged.slice(0, MAX_NAMED).map((name) => visible(room?.nameOf?.(name) ?? name)).join(t("common.listSeparator")) })}
          {unchanged > MAX_NAMED && ` ${t("plan.moreNames", { count: unchanged - MAX_NAMED })}`}
        </p>
      )}
      <Uses uses={[]} silentRooms={plan.silent_rooms} />
      {guarded.map(
        (name) =>
          needsTypedName(true) && (
            <TextField
              key={name}
              label={t("confirm.typeName", { name })}
              autoCapitalize="none"
              spellCheck={false}
              value={typed[name] ?? ""}
              onChange={(event) => setTyped((now) => ({ ...now, [name]: event.target.value }))}
            />
          ),
      )}
      {guarded.length > 0 && <TextField label={t("containers.reason")} hint={t("containers.reasonHint")} required maxLength={500} value={reason} onChange={(event) => setReason(event.target.value)} />}
      {room && !isEmpty && <CommandLine command={`${room.command(plan)}${guarded.map((name) => ` --confirm ${quoted(name)}`).join("")}${guarded.length > 0 ? " --reason TEXT" : ""}${withoutPoint ? " --without-restore-point" : ""}`} />}
      {apply.error && <InlineError error={apply.error} />}
      {!isPermitted && role && <p className="text-muted">{t("common.needsRole", { role: t(`role.${role}`) })}</p>}
      {footer &&
        !isEmpty &&
        createPortal(
          <Button type="submit" form={form} look={isDangerous || guarded.length > 0 ? "danger" : "primary"} disabled={!isReady || !isPermitted} busy={apply.isPending}>
            {verb}
          </Button>,
          footer,
        )}
    </form>
  );
}

/** How much it is altogether, what it takes, and what was left alone. */
function Extent({ plan: { batches = 1, needs_step_up, skipped = [] }, counts }: { plan: Plan; counts: Readonly<Record<string, number>> }): ReactNode {
  const { t } = useTranslation();
  const acts = (["create", "change", "delete"] as const).filter((act) => (counts[act] ?? 0) > 0);
  return (
    <>
      {acts.length > 0 && <p className="font-medium">{acts.map((act) => t(`plan.count.${act}`, { count: counts[act] ?? 0 })).join(t("common.listSeparator"))}</p>}
      {batches > 1 && <p className="text-warn">{t("plan.batches", { count: batches })}</p>}
      {needs_step_up && <p className="text-muted">{t("plan.needsStepUp")}</p>}
      {skipped.length > 0 && (
        <details className="rounded border border-line px-3 py-1.5" open={acts.length === 0}>
          <summary className="cursor-pointer">{t("plan.skipped", { count: skipped.length })}</summary>
          <Suspense>
            <RecordProblems problems={skipped.slice(0, MAX_SKIPPED)} />
          </Suspense>
          {skipped.length > MAX_SKIPPED && <p className="text-muted">{t("plan.moreNames", { count: skipped.length - MAX_SKIPPED })}</p>}
        </details>
      )}
    </>
  );
}

/** What became of it, as the event stream tells it; the way back, and another try for what failed. */
function Followed({
  id,
  footer,
  title,
  verb,
  isDangerous,
  onNext,
}: Omit<Task, "make"> & { id: string; footer: HTMLElement | null; onNext: (next: Task) => void }): ReactNode {
  const { t } = useTranslation();
  const undo = useUndo();
  const { data: operation } = useQuery(operationQuery(id));
  const { isPermitted } = usePermission(roomOf(operation?.act ?? "")?.permission ?? operation?.act ?? "");
  if (!operation) return <Skeleton rows={3} />;
  const room = roomOf(operation.act);
  const results = resultsOf(operation);
  const failed = new Set(results.filter(({ state }) => state !== "done").map(({ name }) => name));
  const changes = changesOf(operation) ?? [];
  const again = changes.filter(({ name }) => failed.has(name));
  return (
    <div className="flex flex-col gap-3 text-sm">
      <p className="flex flex-wrap items-center gap-x-4 gap-y-1">
        <span aria-live="polite">
          <OperationStatus operation={operation} />
        </span>
        <ProgressBar operation={operation} />
        {operation.state === "running" && <span className="text-muted">{t("operations.mayLeave")}</span>}
      </p>
      {operation.error && <InlineError error={new Problem(409, operation.error)} />}
      {results.length > 0 ? <ItemResults results={results} nameOf={room?.nameOf} /> : changes.length > 0 && <PlanChanges changes={changes} nameOf={room?.nameOf} />}
      <Link to="/operations/$id" params={{ id }} className="self-start underline">
        {t("operations.details")}
      </Link>
      {footer &&
        createPortal(
          <>
            {isPermitted && room?.again && again.length > 0 && (
              <Button onClick={() => onNext({ title, verb, isDangerous, make: async () => room.again?.(again) ?? Promise.reject(new Error(operation.act)) })}>
                <RotateCw size={14} aria-hidden />
                {t("containers.retryFailed")}
              </Button>
            )}
            {isPermitted && undoable(operation) !== null && (
              <Button onClick={() => onNext(undo(operation))}>
                <Undo2 size={14} aria-hidden />
                {t("plan.undo")}
              </Button>
            )}
          </>,
          footer,
        )}
    </div>
  );
}
