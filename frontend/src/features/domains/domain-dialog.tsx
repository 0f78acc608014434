/**
 * A mail domain's plan: which domain, then every step with what it changes, what stands in the way and its way out.
 * Applying begins one operation, which is followed on its own page.
 */

import { useNavigate } from "@tanstack/react-router";
import { useEffect, useEffectEvent, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { Dialog, DialogButtons } from "@/components/dialog";
import { TextField } from "@/components/field";
import { PlanChanges } from "@/components/plan-changes";
import { Quoted } from "@/components/quoted";
import { InlineError, Skeleton } from "@/components/states";
import { Status, type Tone } from "@/components/status";
import { useAct } from "@/lib/act";
import { visible } from "@/lib/hostile-text";
import { OPERATIONS } from "@/lib/operations";
import { quoted } from "@/lib/shell";

import { addCommand, removeCommand } from "./command-lines";
import { applyDomain, DOMAINS, planDomain, type DomainPlan, type StepView } from "./requests";

const TONES: Readonly<Record<StepView["state"], Tone>> = { todo: "idle", done: "good", unchanged: "good", failed: "bad", waiting: "running" };

type Wish = Parameters<typeof planDomain>[0];

interface Planned {
  plan: DomainPlan;
  wish: Wish; // what it was made for
}

export function DomainDialog({ act, domain, onClose }: { act: "add" | "remove"; domain: string; onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const [planned, setPlanned] = useState<Planned | null>(null);
  const title = act === "add" ? t("domain.addTitle") : t("domain.removeTitle", { domain: visible(domain) });
  return (
    <Dialog title={title} onClose={onClose} wide>
      {planned ? <Review {...planned} onClose={onClose} /> : act === "add" ? <AddForm domain={domain} onPlan={setPlanned} onClose={onClose} /> : <Removal domain={domain} onPlan={setPlanned} onClose={onClose} />}
    </Dialog>
  );
}

function AddForm({ domain, onPlan, onClose }: { domain: string; onPlan: (planned: Planned) => void; onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const [name, setName] = useState(domain);
  const [mailbox, setMailbox] = useState("postmaster");
  const [replacesMail, setReplacesMail] = useState(false);
  const [adopts, setAdopts] = useState(false);
  const wish: Wish = { act: "add", domain: name, mailbox, replace_mail: replacesMail, adopt: adopts };
  const plan = useAct(() => planDomain(wish), { onDone: (found) => onPlan({ plan: found, wish }) });
  return (
    <form
      className="flex flex-col gap-3"
      onSubmit={(event) => {
        event.preventDefault();
        plan.mutate();
      }}
    >
      <TextField label={t("domain.nameField")} hint={t("domain.nameHint")} required maxLength={255} spellCheck={false} value={name} onChange={(event) => setName(event.target.value.trim())} />
      <TextField label={t("domain.mailboxField")} hint={t("domain.mailboxHint")} required maxLength={64} spellCheck={false} value={mailbox} onChange={(event) => setMailbox(event.target.value.trim())} />
      <Choice label={t("domain.replaceMail")} checked={replacesMail} onChange={setReplacesMail} />
      <Choice label={t("domain.adopt")} checked={adopts} onChange={setAdopts} />
      {plan.error && <InlineError error={plan.error} />}
      <CommandLine command={`${addCommand(wish)} --plan`} />
      <DialogButtons>
        <Button onClick={onClose}>{t("common.cancel")}</Button>
        <Button type="submit" look="primary" busy={plan.isPending}>
          {t("domain.preview")}
        </Button>
      </DialogButtons>
    </form>
  );
}

function Choice({ label, checked, onChange }: { label: string; checked: boolean; onChange: (checked: boolean) => void }): ReactNode {
  return (
    <label className="flex items-center gap-2 text-sm">
      <input type="checkbox" className="size-4 accent-accent" checked={checked} onChange={(event) => onChange(event.target.checked)} />
      {label}
    </label>
  );
}

function Removal({ domain, onPlan, onClose }: { domain: string; onPlan: (planned: Planned) => void; onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const wish: Wish = { act: "remove", domain };
  const plan = useAct(() => planDomain(wish), { onDone: (found) => onPlan({ plan: found, wish }) });
  const begin = useEffectEvent(() => plan.mutate());
  useEffect(() => begin(), []);
  return (
    <>
      {plan.error ? <InlineError error={plan.error} /> : <Skeleton rows={4} />}
      <DialogButtons>
        <Button onClick={onClose}>{t("common.cancel")}</Button>
      </DialogButtons>
    </>
  );
}

function Review({ plan, wish, onClose }: Planned & { onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const [typed, setTyped] = useState("");
  const isRemoval = plan.wanted === "remove";
  const apply = useAct(() => applyDomain(plan.id, typed ? [typed] : []), { refreshes: [OPERATIONS, DOMAINS], onDone: ({ id }) => void navigate({ to: "/operations/$id", params: { id } }) });
  const changes = plan.changes.map((change) => ({ name: String(change["name"]), before: change["before"] ?? null, after: change["after"] ?? null }));
  const isNothing = changes.length === 0;
  const why =
    plan.conflicts.length > 0 ? t("domain.conflicts") : isNothing ? t("domain.nothing") : plan.needs_typed_name && typed !== plan.domain ? t("domain.typeName", { domain: plan.domain }) : undefined;
  return (
    <div className="flex flex-col gap-3 text-sm">
      {plan.conflicts.length > 0 && (
        <section role="alert" className="rounded border border-l-4 border-line border-l-bad p-3">
          <h3 className="font-medium">{t("domain.conflicts")}</h3>
          <ul lang="en" className="mt-1 flex flex-col gap-2">
            {plan.conflicts.map(({ what, way_out }) => (
              <li key={what}>
                <Quoted>{what}</Quoted>
                <span className="block text-muted">{t("domain.wayOut", { text: visible(way_out) })}</span>
              </li>
            ))}
          </ul>
        </section>
      )}
      <ol aria-label={t("domain.steps")} className="flex flex-col gap-1">
        {plan.steps.map((step) => (
          <li key={step.name} className="flex flex-wrap items-baseline gap-x-3">
            <StepName name={step.name} />
            <Status tone={TONES[step.state]}>{t(`domain.stepState.${step.state}`)}</Status>
            {step.changes.length > 0 ? (
              <span className="text-muted">{t("domain.changes", { count: step.changes.length })}</span>
            ) : (
              // "in order" is what its state says already
              step.detail !== "in order" && (
                <span lang="en" className="text-muted">
                  <Quoted>{step.detail}</Quoted>
                </span>
              )
            )}
          </li>
        ))}
      </ol>
      {isNothing ? <p>{t("domain.nothing")}</p> : <PlanChanges changes={changes} />}
      {plan.notes.length > 0 && (
        <section>
          <h3 className="font-medium">{t("domain.notes")}</h3>
          <ul lang="en" className="list-disc pl-5 text-muted">
            {plan.notes.map((note) => (
              <li key={note}>
                <Quoted>{note}</Quoted>
              </li>
            ))}
          </ul>
        </section>
      )}
      {plan.needs_typed_name && !isNothing && <TextField label={t("domain.typeName", { domain: plan.domain })} value={typed} onChange={(event) => setTyped(event.target.value.trim())} spellCheck={false} />}
      {apply.error && <InlineError error={apply.error} />}
      <CommandLine command={`${isRemoval ? removeCommand(plan.domain) : addCommand(wish)}${plan.needs_typed_name ? ` --confirm ${quoted(plan.domain)}` : ""}`} />
      <DialogButtons>
        <Button onClick={onClose}>{t("common.cancel")}</Button>
        <Button look={isRemoval ? "danger" : "primary"} disabled={why !== undefined} title={why} busy={apply.isPending} onClick={() => apply.mutate()}>
          {t(isRemoval ? "domain.removeVerb" : "domain.addVerb")}
        </Button>
      </DialogButtons>
    </div>
  );
}

/** A name that is not known yet is shown as it came. */
function StepName({ name }: { name: string }): ReactNode {
  const { t, i18n } = useTranslation();
  const key = `domain.stepName.${name}`;
  return <span className="font-medium">{i18n.exists(key) ? t(key as "domain.stepName.zone") : visible(name)}</span>;
}
