/** The value of one field of a DNS record, in words; what came from outside is quoted, and cut where it is very long. */

import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { duration } from "@/lib/format";
import { AUTOMATIC_TTL, type RecordField } from "@/lib/records";

import { Quoted } from "./quoted";

const MAX_CHARACTERS = 240; // a DKIM key of 2048 bits has 400

export function RecordFieldValue({ field, value }: { field: RecordField; value: unknown }): ReactNode {
  const { t } = useTranslation();
  if (field === "proxied") return t(value === true ? "common.yes" : "common.no");
  if (value === null || value === undefined) return t("plan.absent");
  if (field === "ttl" && typeof value === "number") return <Ttl seconds={value} />;
  if (field === "tags" && Array.isArray(value)) return <Quoted>{value.join(t("common.listSeparator"))}</Quoted>;
  if (field === "comment" && typeof value === "string") return <Quoted>{value}</Quoted>;
  return <LongText text={typeof value === "string" ? value : JSON.stringify(value)} />;
}

export function Ttl({ seconds }: { seconds: number }): ReactNode {
  const { t } = useTranslation();
  return seconds === AUTOMATIC_TTL ? t("dns.ttlAuto") : <span title={t("dns.seconds", { count: seconds })}>{duration(seconds)}</span>;
}

/** Text that may go on for thousands of characters: its beginning, and the rest for whoever asks. */
export function LongText({ text, limit = MAX_CHARACTERS }: { text: string; limit?: number }): ReactNode {
  const { t } = useTranslation();
  const [isOpen, setOpen] = useState(false);
  if (text.length <= limit) return <Quoted mono>{text}</Quoted>;
  return (
    <>
      <Quoted mono>{isOpen ? text : `${text.slice(0, limit)}…`}</Quoted>{" "}
      <button type="button" aria-expanded={isOpen} className="target underline" onClick={() => setOpen(!isOpen)}>
        {t(isOpen ? "dns.less" : "dns.more", { count: text.length })}
      </button>
    </>
  );
}
