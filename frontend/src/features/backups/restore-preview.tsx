/** What a preview has found, and the restore that brings exactly that about. */

import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { CommandLine } from "@/components/copy";
import { OperationStatus } from "@/components/operation-status";
import { Fact, Facts } from "@/components/panel";
import { ProgressBar } from "@/components/progress-bar";
import { Quoted } from "@/components/quoted";
import { InlineError, Skeleton } from "@/components/states";
import { Status, type Tone } from "@/components/status";
import { Table, type Column } from "@/components/table";
import { useAct } from "@/lib/act";
import { bytes, duration } from "@/lib/format";
import { operationNewsQuery, operationQuery, OPERATIONS, type OperationView } from "@/lib/operations";
import { usePermission } from "@/lib/permission";
import { Problem } from "@/lib/problem";

import { restoreCommand } from "./command-lines";
import { BACKUPS, restorePreviewed, runQuery, type PlannedChange, type Preview } from "./requests";
import { dollars } from "./store-panels";

const FOLLOW_MS = 1_000;
const TONES: Record<PlannedChange["what"], Tone> = { add: "good", overwrite: "warn", delete: "bad" };

/** The event stream says that it has ended, not with what: that is asked for until it is there. */
const isOpen = (operation: OperationView | undefined): boolean => operation === undefined || operation.state === "running" || (operation.state === "done" && operation.result === null);

export default function RestorePreview({ operation: id, name }: { operation: string; name: string }): ReactNode {
  const { t } = useTranslation();
  const query = useQuery({
    ...operationNewsQuery(id),
    queryKey: operationQuery(id).queryKey,
    refetchInterval: ({ state }) => (isOpen(state.data) && state.error === null ? FOLLOW_MS : false),
  });
  const operation = query.data;
  if (query.error && !operation) return <InlineError error={query.error} />;
  if (!operation || (operation.state === "done" && operation.result === null)) return <Skeleton rows={3} />;
  if (operation.state === "done") return <Found preview={operation.result as Preview} name={name} />;
  // The portal was started anew meanwhile: what was found stands in the run's own record.
  if (operation.state === "interrupted" && operation.outcome === "done") return <Recorded run={String(operation.detail?.["run"])} name={name} />;
  if (operation.state === "running") {
    return (
      <div className="flex flex-col gap-2">
        <p className="flex flex-wrap items-center gap-x-4 gap-y-1" aria-live="polite">
          <OperationStatus operation={operation} />
          <ProgressBar operation={operation} />
        </p>
        <p className="text-muted">{t("backups.restore.looking")}</p>
        {operation.lines.at(-1) && (
          <p lang="en" className="text-xs text-muted">
            <Quoted>{operation.lines.at(-1)?.text ?? ""}</Quoted>
          </p>
        )}
      </div>
    );
  }
  return (
    <div className="flex flex-col gap-2">
      <p className="font-medium">{t("backups.restore.previewFailed")}</p>
      <OperationStatus operation={operation} />
      {operation.error && (
        <>
          <InlineError error={new Problem(409, operation.error)} />
          {operation.error.detail && (
            <p lang="en" className="text-xs text-muted">
              <Quoted>{operation.error.detail}</Quoted>
            </p>
          )}
        </>
      )}
      <Link to="/operations/$id" params={{ id }} className="self-start underline">
        {t("operations.details")}
      </Link>
    </div>
  );
}

function Recorded({ run, name }: { run: string; name: string }): ReactNode {
  const query = useQuery(runQuery(run));
  const found = query.data?.lines.findLast(({ type }) => type === "result")?.result;
  if (query.error) return <InlineError error={query.error} />;
  return found ? <Found preview={{ ...(found as unknown as Preview), run }} name={name} /> : <Skeleton rows={3} />;
}

function Found({ preview, name }: { preview: Preview; name: string }): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { isPermitted, role, needsTypedName } = usePermission("backups:restore");
  const [isAsked, setAsked] = useState(false);
  const isInPlace = preview.where === "in-place";
  const typed = isInPlace && needsTypedName(true) ? preview.point : null;
  const restore = useAct(() => restorePreviewed(preview.run, isInPlace ? preview.point : null), {
    refreshes: [OPERATIONS, BACKUPS],
    onDone: ({ id }) => void navigate({ to: "/operations/$id", params: { id } }),
  });
  const isNothing = preview.adds + preview.overwrites + preview.deletes === 0;
  return (
    <section aria-label={t("backups.restore.changes")} className="flex flex-col gap-3">
      <dl className="grid grid-cols-3 gap-2 text-center">
        <Count name={t("backups.restore.adds")} count={preview.adds} colour="text-good" />
        <Count name={t("backups.restore.overwrites")} count={preview.overwrites} colour="text-warn" />
        <Count name={t("backups.restore.deletes")} count={preview.deletes} colour="text-bad" />
      </dl>
      <div className="-mx-3">
        <Facts>
          <Fact name={t("backups.restore.lies")}>
            <Quoted mono>{preview.target}</Quoted>
          </Fact>
          <Fact name={t("backups.restore.bytes")}>{bytes(preview.bytes)}</Fact>
          {preview.seconds !== null && <Fact name={t("backups.restore.time")}>{duration(preview.seconds)}</Fact>}
          {preview.egress_usd !== null && <Fact name={t("backups.restore.egress")}>{dollars(preview.egress_usd)}</Fact>}
          {preview.services.length > 0 && (
            <Fact name={t("backups.restore.services")}>
              <span className="text-warn">
                <Quoted>{preview.services.join(t("common.listSeparator"))}</Quoted>
              </span>
            </Fact>
          )}
        </Facts>
      </div>
      {!preview.verified && <Status tone="warn">{t("backups.restore.notVerified")}</Status>}
      {isNothing ? <p>{t("backups.restore.nothing")}</p> : <Changes changes={preview.changes} total={preview.adds + preview.overwrites + preview.deletes} />}
      <CommandLine command={restoreCommand(preview.run, isInPlace ? preview.point : null)} />
      {restore.error && !isAsked && <InlineError error={restore.error} />}
      {!isPermitted && role && <p className="text-muted">{t("common.needsRole", { role: t(`role.${role}`) })}</p>}
      <Button
        look={isInPlace ? "danger" : "primary"}
        className="self-end"
        disabled={!isPermitted || isNothing}
        busy={restore.isPending}
        onClick={() => (isInPlace ? setAsked(true) : restore.mutate())}
      >
        {t("backups.restore.confirm")}
      </Button>
      {isAsked && (
        <Confirm title={t("backups.restore.confirmTitle")} verb={t("backups.restore.confirm")} typedName={typed} act={restore} onConfirm={() => restore.mutate()} onClose={() => setAsked(false)}>
          <p>{t("backups.restore.confirmEffect", { name, point: preview.point })}</p>
          <p>
            {t("backups.restore.adds")} {preview.adds} · {t("backups.restore.overwrites")} {preview.overwrites} · {t("backups.restore.deletes")} {preview.deletes}
          </p>
          {preview.services.length > 0 && (
            <p className="rounded border-l-4 border-warn bg-sunken px-3 py-2">
              {t("backups.restore.services")}: <Quoted>{preview.services.join(t("common.listSeparator"))}</Quoted>
            </p>
          )}
        </Confirm>
      )}
    </section>
  );
}

function Count({ name, count, colour }: { name: string; count: number; colour: string }): ReactNode {
  return (
    <div className="flex flex-col-reverse rounded border border-line py-1.5">
      <dt className="text-xs text-muted">{name}</dt>
      <dd className={`text-xl font-semibold ${count > 0 ? colour : "text-muted"}`}>{count}</dd>
    </div>
  );
}

function Changes({ changes, total }: { changes: readonly PlannedChange[]; total: number }): ReactNode {
  const { t } = useTranslation();
  const columns: readonly Column<PlannedChange>[] = [
    { key: "what", head: t("backups.restore.changeHead"), cell: ({ what }) => <Status tone={TONES[what]}>{t(`backups.restore.change.${what}`)}</Status> },
    { key: "path", head: t("backups.restore.path"), cell: ({ path }) => <Quoted mono>{path}</Quoted> },
  ];
  return (
    <div className="max-h-72 overflow-y-auto rounded border border-line">
      <Table caption={t("backups.restore.changes")} columns={columns} rows={changes} rowKey={({ path }) => path} />
      {changes.length < total && <p className="border-t border-line px-3 py-1.5 text-xs text-muted">{t("backups.restore.firstOf", { count: changes.length })}</p>}
    </div>
  );
}
