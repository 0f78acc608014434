import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { Dialog, DialogButtons } from "@/components/dialog";
import { SelectField, TextArea, TextField } from "@/components/field";
import { LongText } from "@/components/record-field";
import RecordProblems from "@/components/record-problems";
import { InlineError } from "@/components/states";
import { duration } from "@/lib/format";
import { visible } from "@/lib/hostile-text";
import { AUTOMATIC_TTL, contentText } from "@/lib/records";
import { useRecordProblemText } from "@/lib/record-problem";
import type records from "@/locales/records/en.json";

import { changedMembers, draftOf, formOf, TTLS, typeOf, TYPE_NAMES, withType, type Form, type Part } from "./draft";
import { editCommand } from "./edit-command";
import { checkRecord, DNS, type Edit, type RecordProblem, type RecordView } from "./requests";

const CHECK_AFTER_MS = 350; // of quiet
const LONG = 60; // characters from which a text gets several lines

/** What is typed, what the portal says of it, and the way on to the plan. */
export function RecordForm({
  zone,
  title,
  record,
  form,
  onForm,
  onReady,
  onClose,
}: {
  zone: string;
  title: string;
  record: RecordView | null; // the one that is changed
  form: Form;
  onForm: (form: Form) => void;
  onReady: (edit: Edit) => void;
  onClose: () => void;
}): ReactNode {
  const { t } = useTranslation();
  const textOf = useRecordProblemText();
  const first = useRef<HTMLInputElement>(null);
  const [touched, setTouched] = useState(record !== null || form.name !== ""); // whoever comes back from the plan has typed already
  const edit = editOf(form, record, zone);
  const settled = useSettled(JSON.stringify(edit));
  const check = useQuery({
    queryKey: [...DNS, "check", zone, settled],
    queryFn: ({ signal }) => checkRecord(zone, JSON.parse(settled) as Edit, signal),
    enabled: settled !== "null" && touched,
    staleTime: 10_000,
    gcTime: 0,
    retry: false,
    placeholderData: (previous) => previous,
  });
  const isCurrent = settled === JSON.stringify(edit) && !check.isPlaceholderData;
  const problems: readonly RecordProblem[] = touched && check.data ? check.data.problems : [];
  const errorsAt = (field: string): string | null =>
    problems
      .filter((each) => each.field === field && each.severity === "error")
      .map((each) => textOf(each))
      .join(" ") || null;
  const type = typeOf(form.type);
  const shownAt = new Set(["name", "ttl", "comment", "tags", "proxied", ...(type.priority ? ["priority"] : []), ...(type.content === null ? type.parts.map(({ name }) => `data.${name}`) : ["content"])]);
  const others = problems.filter(({ field, severity }) => severity === "warning" || !shownAt.has(field));
  const hasErrors = isCurrent && problems.some(({ severity }) => severity === "error");
  const why = edit === null || !touched ? t(record ? "dns.form.sameAsBefore" : "dns.form.nothingYet") : hasErrors ? t("dns.form.hasErrors") : undefined;
  const command = touched && edit ? editCommand(zone, edit) : null;
  const change = (part: Partial<Form>): void => {
    setTouched(true);
    onForm({ ...form, ...part });
  };
  const canProxy = type.proxiable;
  const ttls = TTLS.some((each) => String(each) === form.ttl) ? TTLS.map(String) : [...TTLS.map(String), form.ttl];
  return (
    <Dialog title={title} onClose={onClose} initialFocus={first} wide>
      <form
        className="flex flex-col gap-3"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          if (edit && why === undefined) onReady(edit);
        }}
      >
        <div className="grid gap-3 sm:grid-cols-[8rem_1fr]">
          <SelectField label={t("dns.field.type")} value={form.type} disabled={record !== null} title={record ? t("dns.form.typeStays") : undefined} onChange={(event) => onForm(withType(form, event.target.value))}>
            {(TYPE_NAMES.includes(form.type) ? TYPE_NAMES : [form.type, ...TYPE_NAMES]).map((name) => (
              <option key={name}>{name}</option>
            ))}
          </SelectField>
          <TextField
            ref={first}
            label={t("dns.field.name")}
            hint={t("dns.record.nameHint", { zone })}
            autoCapitalize="none"
            spellCheck={false}
            value={form.name}
            error={errorsAt("name")}
            onChange={(event) => change({ name: event.target.value })}
          />
        </div>
        {type.content !== null ? (
          <div className={type.priority ? "grid gap-3 sm:grid-cols-[1fr_8rem]" : ""}>
            <ContentField form={form} error={errorsAt("content")} onChange={(content) => change({ content })} />
            {type.priority && <PriorityField form={form} error={errorsAt("priority")} onChange={(priority) => change({ priority })} />}
          </div>
        ) : (
          <div className="grid gap-3 sm:grid-cols-2">
            {type.priority && <PriorityField form={form} error={errorsAt("priority")} onChange={(priority) => change({ priority })} />}
            {type.parts.map((part) => (
              <PartField
                key={part.name}
                part={part}
                value={form.data[part.name] ?? ""}
                error={errorsAt(`data.${part.name}`)}
                onChange={(value) => change({ data: { ...form.data, [part.name]: value } })}
              />
            ))}
          </div>
        )}
        <div className="grid gap-3 sm:grid-cols-2">
          <SelectField
            label={t("dns.field.ttl")}
            value={form.ttl}
            disabled={form.proxied}
            error={errorsAt("ttl")}
            hint={form.proxied ? t("dns.record.ttlProxied") : undefined}
            onChange={(event) => change({ ttl: event.target.value })}
          >
            {ttls.map((each) => (
              <option key={each} value={each}>
                {each === String(AUTOMATIC_TTL) ? t("dns.ttlAuto") : duration(Number(each))}
              </option>
            ))}
          </SelectField>
          {canProxy && (
            <label className="target flex items-center gap-2 self-end text-sm">
              <input
                type="checkbox"
                className="size-4 accent-accent"
                checked={form.proxied}
                onChange={(event) => change({ proxied: event.target.checked, ttl: event.target.checked ? String(AUTOMATIC_TTL) : form.ttl })}
              />
              {t("dns.record.proxied")}
            </label>
          )}
          <TextField label={t("dns.field.comment")} value={form.comment} error={errorsAt("comment")} onChange={(event) => change({ comment: event.target.value })} />
          <TextField label={t("dns.field.tags")} hint={t("dns.record.tagsHint")} value={form.tags} error={errorsAt("tags")} onChange={(event) => change({ tags: event.target.value })} />
        </div>
        {visible(form.content, "\n\t") !== form.content && (
          <p className="text-sm text-warn">
            {t("dns.record.unseen")} <LongText text={form.content} />
          </p>
        )}
        <div aria-live="polite" className="flex min-h-5 flex-col gap-1.5 text-sm">
          {others.length > 0 && <RecordProblems problems={others} />}
          {check.data?.record && touched && (
            <p className="text-muted">
              {t("dns.record.asKept")} <LongText text={`${check.data.record.name} ${check.data.record.type} ${contentText({ ...check.data.record })}`} />
            </p>
          )}
        </div>
        {check.error && touched && <InlineError error={check.error} />}
        {command && <CommandLine command={command} />}
        <DialogButtons>
          <Button onClick={onClose}>{t("common.cancel")}</Button>
          <Button type="submit" look="primary" disabled={why !== undefined} title={why}>
            {t("dns.preview")}
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  );
}

/** What the form asks for; null while it asks for nothing. */
function editOf(form: Form, record: RecordView | null, zone: string): Edit | null {
  if (!record) return { act: "create", record: draftOf(form) };
  const changed = changedMembers(draftOf(form), draftOf(formOf(record, zone)));
  return Object.keys(changed).length === 0 ? null : { act: "change", key: record.key, record: changed };
}

function useSettled(value: string): string {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), CHECK_AFTER_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

const EXAMPLES: Readonly<Record<string, string>> = {
  A: "192.0.2.1",
  AAAA: "2001:db8::1",
  CNAME: "target.example.com",
  MX: "mail.example.com",
  NS: "ns1.example.net",
  PTR: "host.example.com",
  TXT: "v=spf1 include:_spf.example.net -all",
};

function ContentField({ form, error, onChange }: { form: Form; error: string | null; onChange: (content: string) => void }): ReactNode {
  const { t, i18n } = useTranslation();
  const key = `dns.content.${form.type}`;
  const label = i18n.exists(key) ? t(`dns.content.${form.type as keyof typeof records.dns.content}`) : t("dns.field.content");
  const kind = typeOf(form.type).content;
  if (kind === "text" || kind === "base64" || form.content.length > LONG) {
    return <TextArea label={label} hint={form.type === "TXT" ? t("dns.record.txtHint") : undefined} placeholder={EXAMPLES[form.type]} rows={3} spellCheck={false} value={form.content} error={error} onChange={(event) => onChange(event.target.value)} />;
  }
  return (
    <TextField
      label={label}
      placeholder={EXAMPLES[form.type]}
      autoCapitalize="none"
      spellCheck={false}
      value={form.content}
      error={error}
      onChange={(event) => onChange(event.target.value)}
    />
  );
}

function PriorityField({ form, error, onChange }: { form: Form; error: string | null; onChange: (priority: string) => void }): ReactNode {
  const { t } = useTranslation();
  return <TextField label={t("dns.field.priority")} inputMode="numeric" value={form.priority} error={error} onChange={(event) => onChange(event.target.value)} />;
}

function PartField({ part, value, error, onChange }: { part: Part; value: string; error: string | null; onChange: (value: string) => void }): ReactNode {
  const { t, i18n } = useTranslation();
  const key = `dns.data.${part.name}`;
  const label = i18n.exists(key) ? t(`dns.data.${part.name as keyof typeof records.dns.data}`) : part.name;
  if (part.kind === "choice") {
    return (
      <SelectField label={label} value={value} error={error} onChange={(event) => onChange(event.target.value)}>
        {(part.choices.includes(value) ? part.choices : [value, ...part.choices]).map((each) => (
          <option key={each}>{each}</option>
        ))}
      </SelectField>
    );
  }
  const isNumber = part.kind === "integer" || part.kind === "number";
  return (
    <TextField
      label={label}
      hint={isNumber ? `${part.least}–${part.most}` : part.kind === "parameters" ? t("dns.record.parametersHint") : undefined}
      inputMode={part.kind === "integer" ? "numeric" : undefined}
      autoCapitalize="none"
      spellCheck={false}
      value={value}
      error={error}
      onChange={(event) => onChange(event.target.value)}
    />
  );
}
