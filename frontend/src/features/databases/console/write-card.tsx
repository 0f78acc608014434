/**
 * A write as it was measured: how many rows, how the first of them are and would be. Nothing has changed yet. It is
 * applied under its table's typed name, and only while the rows are still as they were measured; then it can be undone.
 */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Undo2 } from "lucide-react";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { TextField } from "@/components/field";
import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { InlineError } from "@/components/states";
import { Status } from "@/components/status";
import { Time } from "@/components/time";
import { toast } from "@/components/toast";
import { useAct } from "@/lib/act";
import { useNow } from "@/lib/clock";
import { visible } from "@/lib/hostile-text";
import { OPERATIONS } from "@/lib/operations";
import { usePermission } from "@/lib/permission";
import { isProblem } from "@/lib/problem";
import { quoted } from "@/lib/shell";

import { CellValue } from "../cell";
import { Sql } from "../sql";
import { applyWrite, CONSOLE, undoWrite, writeQuery, type WriteView } from "./requests";
import { WriteStatus } from "./write-status";

type Next = (id: string) => void;

export default function WriteCard({ id, onNext }: { id: string; onNext: Next }): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(writeQuery(id));
  return (
    <Panel title={t("databases.write.title")} aside={query.data && <WriteStatus write={query.data} />}>
      <QueryView query={query}>{(write) => <Measured write={write} onNext={onNext} />}</QueryView>
    </Panel>
  );
}

function Measured({ write, onNext }: { write: WriteView; onNext: Next }): ReactNode {
  const { t } = useTranslation();
  const { database, table, statement, affected_rows, changes, warnings, kind } = write;
  return (
    <div className="flex flex-col gap-3 p-3 text-sm">
      <p className="text-base">
        <strong className="font-semibold">{t(`databases.write.affects.${kind}`, { count: affected_rows })}</strong>{" "}
        <span className="text-muted">
          <Quoted mono>{`${database}.${table}`}</Quoted>
        </span>
      </p>
      <div className="rounded border border-line bg-sunken px-3 py-2">
        <Sql text={statement} />
      </div>
      {warnings.map((each) => (
        <Status key={each} tone="warn" wraps>
          <span lang="en">
            <Quoted>{each}</Quoted>
          </span>
        </Status>
      ))}
      {changes.length > 0 && <Changes write={write} />}
      <Acts write={write} onNext={onNext} />
    </div>
  );
}

/** Row by row: as it is, and as it would be; what differs is marked for eyes and ears. */
function Changes({ write: { columns, changes, key, affected_rows } }: { write: WriteView }): ReactNode {
  const { t } = useTranslation();
  const caption = t("databases.write.changes", { count: changes.length, all: affected_rows });
  return (
    <div className="rounded border border-line">
      <p className="border-b border-line px-3 py-1.5 text-xs text-muted">{caption}</p>
      <div role="region" aria-label={caption} tabIndex={0} className="max-h-[50dvh] overflow-auto">
        <table className="w-full border-collapse text-left text-[0.8125rem]">
          <caption className="sr-only">{caption}</caption>
          <thead>
            <tr className="border-b border-line text-xs text-muted">
              <th scope="col" className="px-3 py-1.5">
                <span className="sr-only">{t("databases.write.side")}</span>
              </th>
              {columns.map(({ name }) => (
                <th key={name} scope="col" className="px-3 py-1.5 font-medium whitespace-nowrap">
                  {visible(name)}
                  {key.includes(name) && <span className="font-normal"> ({t("databases.primaryKey")})</span>}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {changes.flatMap(({ before, after }, number) =>
              (["before", "after"] as const).map((side) => {
                const [row, other] = side === "before" ? [before, after] : [after, before];
                if (row === null) return null;
                return (
                  // oxlint-disable-next-line react/no-array-index-key -- a measure stays as it is
                  <tr key={`${number} ${side}`} className={`border-b border-line last:border-0 ${side === "before" ? "bg-bad/6" : "bg-good/8"}`}>
                    <th scope="row" className={`px-3 py-[var(--row)] font-normal whitespace-nowrap ${side === "before" ? "text-bad" : "text-good"}`}>
                      {side === "before" ? "−" : "+"} {t(`databases.write.${side}`)}
                    </th>
                    {row.map((value, column) => {
                      const differs = other === null || other[column] !== value;
                      return (
                        <td key={columns[column]?.name} className={`max-w-96 px-3 py-[var(--row)] align-top ${differs ? "font-medium" : "text-muted"}`}>
                          <CellValue value={value} kind={columns[column]?.kind} />
                        </td>
                      );
                    })}
                  </tr>
                );
              }),
            )}
          </tbody>
        </table>
      </div>
    </div>
  );
}

function Acts({ write, onNext }: { write: WriteView; onNext: Next }): ReactNode {
  const { t } = useTranslation();
  const now = useNow();
  const { state, expires_at, operation_id, undo_until, undone_by, undoes } = write;
  return (
    <>
      {undoes !== null && (
        <p>
          {t("databases.write.undoes")}{" "}
          <Button look="quiet" className="text-accent" onClick={() => onNext(undoes)}>
            {t("databases.write.toIt")}
          </Button>
        </p>
      )}
      {state === "measured" && (Date.parse(expires_at) > now ? <Apply write={write} onNext={onNext} /> : <Status tone="idle">{t("databases.write.expired")}</Status>)}
      {operation_id !== null && (
        <Link to="/operations/$id" params={{ id: operation_id }} className="underline">
          {t("operations.toIt")}
        </Link>
      )}
      {undone_by !== null && (
        <Button className="self-start" onClick={() => onNext(undone_by)}>
          {t("databases.write.toUndo")}
        </Button>
      )}
      {state === "applied" && undone_by === null && undo_until !== null && Date.parse(undo_until) > now && <Undo write={write} until={undo_until} onNext={onNext} />}
    </>
  );
}

function Apply({ write, onNext }: { write: WriteView; onNext: Next }): ReactNode {
  const { t } = useTranslation();
  const client = useQueryClient();
  const { isPermitted, role, needsTypedName } = usePermission("console:write");
  const [typed, setTyped] = useState("");
  const [reason, setReason] = useState("");
  const [isStale, setStale] = useState(false);
  const { id, table, affected_rows, expires_at } = write;
  const apply = useAct(
    async () => {
      try {
        await applyWrite(id, typed, reason.trim());
      } catch (error) {
        const next = isProblem(error, "write-stale") ? (error.members["write"] as WriteView | undefined) : undefined;
        if (!next) throw error;
        client.setQueryData(writeQuery(next.id).queryKey, next);
        setStale(true);
        toast(t("databases.write.stale"));
        onNext(next.id);
      }
    },
    { refreshes: [[...CONSOLE, "writes"], OPERATIONS] },
  );
  const isReady = isPermitted && (!needsTypedName() || typed === table) && !isStale;
  return (
    <form
      className="flex max-w-xl flex-col gap-3 rounded border-l-4 border-warn bg-sunken px-3 py-3"
      onSubmit={(event) => {
        event.preventDefault();
        if (isReady && !apply.isPending) apply.mutate();
      }}
    >
      <p>
        {t("databases.write.nothingYet")} {t("databases.write.validUntil")} <Time value={expires_at} />
      </p>
      {needsTypedName() && <TextField label={t("confirm.typeName", { name: visible(table) })} autoCapitalize="none" spellCheck={false} value={typed} onChange={(event) => setTyped(event.target.value)} />}
      <TextField label={t("containers.reason")} hint={t("containers.reasonHint")} maxLength={500} value={reason} onChange={(event) => setReason(event.target.value)} />
      {apply.error && <InlineError error={apply.error} />}
      <div className="flex flex-wrap items-center gap-2">
        <Button type="submit" look="danger" disabled={!isReady} title={isPermitted || !role ? undefined : t("common.needsRole", { role: t(`role.${role}`) })} busy={apply.isPending}>
          {t("databases.write.apply", { count: affected_rows })}
        </Button>
      </div>
      <CommandLine command={`homeport db write --apply ${id} --confirm ${quoted(table)}`} />
    </form>
  );
}

function Undo({ write: { id }, until, onNext }: { write: WriteView; until: string; onNext: Next }): ReactNode {
  const { t } = useTranslation();
  const client = useQueryClient();
  const { isPermitted, role } = usePermission("console:write");
  const undo = useAct(() => undoWrite(id), {
    onDone: (next) => {
      client.setQueryData(writeQuery(next.id).queryKey, next);
      onNext(next.id);
    },
  });
  return (
    <div className="flex max-w-xl flex-col items-start gap-2">
      <p className="text-muted">
        {t("databases.write.undoUntil")} <Time value={until} />
      </p>
      <Button disabled={!isPermitted} title={isPermitted || !role ? undefined : t("common.needsRole", { role: t(`role.${role}`) })} busy={undo.isPending} onClick={() => undo.mutate()}>
        <Undo2 size={14} aria-hidden />
        {t("databases.write.undo")}
      </Button>
      {undo.error && <InlineError error={undo.error} />}
      <CommandLine command={`homeport db write --undo ${id}`} />
    </div>
  );
}
