/** One change to many records, as one plan: TTL, proxy, comment, or gone. */

import { X } from "lucide-react";
import { lazy, Suspense, useState, type FormEvent, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button, IconButton } from "@/components/button";
import { Dialog, DialogButtons } from "@/components/dialog";
import { SelectField, TextField } from "@/components/field";
import { duration } from "@/lib/format";
import { usePermission } from "@/lib/permission";
import { AUTOMATIC_TTL } from "@/lib/records";

import { TTLS } from "./draft";
import { planEdits, type Draft, type Edit, type RecordView } from "./requests";

const PlanDialog = lazy(() => import("@/components/plan-dialog"));

const BAR = "sticky top-12 z-10 flex flex-wrap items-center gap-2 rounded-lg border border-accent bg-panel px-3 py-1.5 shadow-sm";
const MAX_COMMENT = 100; // of the free plan; the portal says so for others

interface Planned {
  edits: Edit[];
  title: string;
  verb: string;
  isDangerous: boolean;
}

export function RecordBulkBar({ zone, records, isStale, onClear }: { zone: string; records: readonly RecordView[]; isStale: boolean; onClear: () => void }): ReactNode {
  const { t } = useTranslation();
  const { isPermitted, role } = usePermission("dns:plan");
  const [asked, setAsked] = useState<"ttl" | "comment" | null>(null);
  // Whom it is for is kept apart from what is selected: the list goes on while a dialog is open.
  const [planned, setPlanned] = useState<Planned | null>(null);
  const isEmpty = records.length === 0;
  const why = isStale ? t("dns.staleActs") : !isPermitted && role ? t("common.needsRole", { role: t(`role.${role}`) }) : null;
  const change = (record: Draft, of: readonly RecordView[] = records): void => {
    setAsked(null);
    setPlanned({ edits: of.map(({ key }) => ({ act: "change", key, record })), title: t("dns.bulk.changeTitle", { count: of.length }), verb: t("dns.apply"), isDangerous: false });
  };
  const proxiable = records.filter((record) => record.proxiable);
  return (
    <div className={isEmpty ? "contents" : BAR}>
      {!isEmpty && (
        <>
          <span role="status" className="text-sm font-medium">
            {t("containers.selected", { count: records.length })}
          </span>
          <Button disabled={why !== null} title={why ?? undefined} onClick={() => setAsked("ttl")}>
            {t("dns.bulk.ttl")}
          </Button>
          {proxiable.length > 0 && (
            <>
              <Button disabled={why !== null} title={why ?? undefined} onClick={() => change({ proxied: true }, proxiable)}>
                {t("dns.bulk.proxiedOn")}
              </Button>
              <Button disabled={why !== null} title={why ?? undefined} onClick={() => change({ proxied: false }, proxiable)}>
                {t("dns.bulk.proxiedOff")}
              </Button>
            </>
          )}
          <Button disabled={why !== null} title={why ?? undefined} onClick={() => setAsked("comment")}>
            {t("dns.bulk.comment")}
          </Button>
          <Button
            disabled={why !== null}
            title={why ?? undefined}
            onClick={() =>
              setPlanned({ edits: records.map(({ key }) => ({ act: "delete", key })), title: t("dns.bulk.deleteTitle", { count: records.length }), verb: t("common.delete"), isDangerous: true })
            }
          >
            {t("common.delete")}
          </Button>
          {why && <span className="text-xs text-muted">{why}</span>}
          <IconButton label={t("containers.clearSelection")} onClick={onClear} className="ml-auto">
            <X size={16} aria-hidden />
          </IconButton>
        </>
      )}
      {asked === "ttl" && <TtlDialog count={records.length} onClose={() => setAsked(null)} onDone={(ttl) => change({ ttl })} />}
      {asked === "comment" && <CommentDialog count={records.length} onClose={() => setAsked(null)} onDone={(comment) => change({ comment })} />}
      {planned && (
        <Suspense>
          <PlanDialog
            title={planned.title}
            verb={planned.verb}
            isDangerous={planned.isDangerous}
            make={() => planEdits(zone, planned.edits)}
            onApplied={onClear}
            onClose={() => setPlanned(null)}
          />
        </Suspense>
      )}
    </div>
  );
}

function TtlDialog({ count, onClose, onDone }: { count: number; onClose: () => void; onDone: (ttl: number) => void }): ReactNode {
  const { t } = useTranslation();
  const [ttl, setTtl] = useState<number>(AUTOMATIC_TTL);
  return (
    <Asking title={t("dns.bulk.ttlTitle", { count })} onClose={onClose} onSubmit={() => onDone(ttl)}>
      <SelectField label={t("dns.field.ttl")} value={ttl} onChange={(event) => setTtl(Number(event.target.value))}>
        {TTLS.map((each) => (
          <option key={each} value={each}>
            {each === AUTOMATIC_TTL ? t("dns.ttlAuto") : duration(each)}
          </option>
        ))}
      </SelectField>
    </Asking>
  );
}

function CommentDialog({ count, onClose, onDone }: { count: number; onClose: () => void; onDone: (comment: string) => void }): ReactNode {
  const { t } = useTranslation();
  const [comment, setComment] = useState("");
  return (
    <Asking title={t("dns.bulk.commentTitle", { count })} onClose={onClose} onSubmit={() => onDone(comment)}>
      <TextField label={t("dns.field.comment")} hint={t("dns.bulk.commentHint")} maxLength={MAX_COMMENT} value={comment} onChange={(event) => setComment(event.target.value)} />
    </Asking>
  );
}

function Asking({ title, onClose, onSubmit, children }: { title: string; onClose: () => void; onSubmit: () => void; children: ReactNode }): ReactNode {
  const { t } = useTranslation();
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event: FormEvent) => {
          event.preventDefault();
          onSubmit();
        }}
      >
        {children}
        <DialogButtons>
          <Button onClick={onClose}>{t("common.cancel")}</Button>
          <Button type="submit" look="primary">
            {t("dns.preview")}
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  );
}
