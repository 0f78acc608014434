/**
 * A record made or changed: a form that knows its type and is checked while one types, then the plan, then it is
 * applied. Whoever turns back from the plan finds the form as it was.
 */

import { useRef, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import PlanDialog from "@/components/plan-dialog";
import { visible } from "@/lib/hostile-text";

import { emptyForm, formOf, type Form } from "./draft";
import { RecordForm } from "./record-form";
import { planEdits, type Edit, type RecordView } from "./requests";

export default function RecordDialog({ zone, record, onClose, onApplied }: { zone: string; record: RecordView | null; onClose: () => void; onApplied?: () => void }): ReactNode {
  const { t } = useTranslation();
  const [form, setForm] = useState<Form>(() => (record ? formOf(record, zone) : emptyForm()));
  const [edit, setEdit] = useState<Edit | null>(null);
  const isApplied = useRef(false); // the dialog may close in the same moment
  const title = record ? t("dns.record.editTitle", { name: visible(`${record.type} ${record.unicode_name}`) }) : t("dns.record.newTitle");
  return edit ? (
    <PlanDialog
      title={title}
      verb={t("dns.apply")}
      make={() => planEdits(zone, [edit])}
      onApplied={() => {
        isApplied.current = true;
        onApplied?.();
      }}
      onClose={() => {
        if (isApplied.current) onClose();
        else setEdit(null);
      }}
    />
  ) : (
    <RecordForm zone={zone} title={title} record={record} form={form} onForm={setForm} onReady={setEdit} onClose={onClose} />
  );
}
