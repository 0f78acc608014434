/** What becomes of one DNS record: the fields that change, each before and after; all of it where it comes or goes. */

import { ArrowRight } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import type { RecordProblem } from "@/api/types.gen";
import { fieldDifferences, saidFields, valueOf, type RecordField, type RecordLike } from "@/lib/records";

import { Quoted } from "./quoted";
import { RecordFieldValue } from "./record-field";
import RecordProblems from "./record-problems";
import { Status } from "./status";

/** `isPast`: it has come about, and is not to be done. */
export default function RecordChange({
  before,
  after,
  warnings = [],
  isPast = false,
}: {
  before: RecordLike | null;
  after: RecordLike | null;
  warnings?: readonly RecordProblem[];
  isPast?: boolean;
}): ReactNode {
  const { t } = useTranslation();
  const record = after ?? before;
  if (!record) return null;
  const act = before && after ? "change" : after ? "create" : "delete";
  return (
    <>
      <Status tone={act === "delete" ? "bad" : act === "create" ? "good" : "running"}>{t(isPast ? `dns.did.${act}` : `dns.act.${act}`)}</Status>
      <dl className="grid basis-full grid-cols-[fit-content(30%)_1fr] gap-x-3 gap-y-0.5 text-[0.8125rem]">
        {before && after
          ? fieldDifferences(before, after).map((each) => (
              <Line key={each.field} field={each.field}>
                <span className="sr-only">{t("audit.before")}</span>
                <span className="text-muted line-through decoration-muted/60">
                  <RecordFieldValue field={each.field} value={each.before} />
                </span>
                <ArrowRight size={13} aria-hidden className="mx-1.5 inline shrink-0 text-muted" />
                <span className="sr-only">{t("audit.after")}</span>
                <RecordFieldValue field={each.field} value={each.after} />
              </Line>
            ))
          : saidFields(record).map((field) => (
              <Line key={field} field={field}>
                <RecordFieldValue field={field} value={valueOf(record, field)} />
              </Line>
            ))}
      </dl>
      {record["is_locked"] === true && <p className="basis-full text-muted">{t("dns.lockedWhy")}</p>}
      {warnings.length > 0 && (
        <div className="basis-full">
          <RecordProblems problems={warnings} />
        </div>
      )}
    </>
  );
}

/** "A www.example.com", with the name as people write it beside it. */
export function RecordName({ type, name, unicodeName = name }: { type: string; name: string; unicodeName?: string }): ReactNode {
  return (
    <>
      <span className="font-mono text-[0.92em] text-muted">{type}</span> <Quoted>{name}</Quoted>
      {unicodeName !== name && (
        <span className="text-muted">
          {" "}
          (<Quoted>{unicodeName}</Quoted>)
        </span>
      )}
    </>
  );
}

function Line({ field, children }: { field: RecordField; children: ReactNode }): ReactNode {
  const { t } = useTranslation();
  return (
    <>
      <dt className="text-muted">{t(`dns.field.${field}`)}</dt>
      <dd className="min-w-0">{children}</dd>
    </>
  );
}
