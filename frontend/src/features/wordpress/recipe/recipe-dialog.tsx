/**
 * A site as a whole, made, imported or removed by one plan: what is asked for, then every step with what it changes and
 * what stands in the way. Applying begins one operation, which is followed on its own page.
 */

import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useEffectEvent, useRef, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { Dialog, DialogButtons } from "@/components/dialog";
import { SelectField, TextField } from "@/components/field";
import { PlanChanges } from "@/components/plan-changes";
import { Quoted } from "@/components/quoted";
import { InlineError, Skeleton } from "@/components/states";
import { Uses } from "@/components/uses";
import { useAct } from "@/lib/act";
import { visible } from "@/lib/hostile-text";
import { OPERATIONS } from "@/lib/operations";
import { usePermission } from "@/lib/permission";
import { isProblem } from "@/lib/problem";
import { quoted } from "@/lib/shell";

import { applyRecipe, importsQuery, planRecipe, WORDPRESS, type NewRecipe, type SiteRecipePlan } from "../requests";
import { Steps } from "./steps";

export default function RecipeDialog({ act, site, onClose }: { act: "add" | "import" | "remove"; site: string; onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const [plan, setPlan] = useState<SiteRecipePlan | null>(null);
  return (
    <Dialog title={act === "remove" ? t("wordpress.recipe.of.remove", { site: visible(site) }) : t(`wordpress.recipe.${act}`)} onClose={onClose} wide>
      {plan ? <Review key={plan.id} plan={plan} onStale={setPlan} onClose={onClose} /> : act === "remove" ? <Removal site={site} onPlan={setPlan} onClose={onClose} /> : <Form key={act} act={act} onPlan={setPlan} onClose={onClose} />}
    </Dialog>
  );
}

function Form({ act, onPlan, onClose }: { act: "add" | "import"; onPlan: (plan: SiteRecipePlan) => void; onClose: () => void }): ReactNode {
  const { t, i18n } = useTranslation();
  const [site, setSite] = useState("");
  const [hosts, setHosts] = useState("");
  const [title, setTitle] = useState("");
  const [login, setLogin] = useState("");
  const [email, setEmail] = useState("");
  const [locale, setLocale] = useState(i18n.language === "en" ? "en_US" : "ja");
  const [ring, setRing] = useState<1 | 2>(2);
  const [isPublic, setIsPublic] = useState(true);
  const [archive, setArchive] = useState("");
  const [dump, setDump] = useState("");
  const [oldUrl, setOldUrl] = useState("");
  const { data: imports } = useQuery({ ...importsQuery, enabled: act === "import" });
  const hostnames = hosts.split(/[\s,]+/).filter((each) => each !== "");
  const shared = { site, hostnames, ring, is_public: isPublic };
  const wanted: NewRecipe =
    act === "add"
      ? { act, ...shared, title, admin_login: login, admin_email: email, locale: locale === "en_US" ? null : locale }
      : { act, ...shared, archive, dump, old_url: oldUrl || null };
  const plan = useAct(() => planRecipe(wanted), { onDone: onPlan });
  const command = [
    `homeport site ${act} ${site || "SITE"}`,
    ...hostnames.map((each) => `--host ${quoted(each)}`),
    ...(act === "add"
      ? [`--title ${quoted(title || "TITLE")}`, `--admin ${quoted(login || "LOGIN")}`, `--email ${quoted(email || "ADDRESS")}`, ...(locale === "en_US" ? [] : [`--locale ${quoted(locale)}`])]
      : [`--archive ${quoted(archive || "FILE")}`, `--dump ${quoted(dump || "FILE")}`, ...(oldUrl ? [`--old-url ${quoted(oldUrl)}`] : [])]),
    `--ring ${ring}`,
    ...(isPublic ? [] : ["--private"]),
    "--plan",
  ].join(" ");
  return (
    <form
      className="flex flex-col gap-3"
      onSubmit={(event) => {
        event.preventDefault();
        if (!plan.isPending) plan.mutate();
      }}
    >
      <TextField label={t("wordpress.recipe.site")} hint={t("wordpress.recipe.siteHint")} required maxLength={31} pattern="[a-z0-9](?:[a-z0-9\-]{0,29}[a-z0-9])?" spellCheck={false} autoCapitalize="none" value={site} onChange={(event) => setSite(event.target.value.trim())} />
      <TextField label={t("wordpress.recipe.hosts")} hint={t("wordpress.recipe.hostsHint")} required spellCheck={false} autoCapitalize="none" value={hosts} onChange={(event) => setHosts(event.target.value)} />
      {act === "add" ? (
        <>
          <TextField label={t("wordpress.recipe.title")} required maxLength={200} value={title} onChange={(event) => setTitle(event.target.value)} />
          <div className="grid gap-3 sm:grid-cols-2">
            <TextField label={t("wordpress.recipe.login")} hint={t("wordpress.recipe.loginHint")} required maxLength={60} spellCheck={false} autoCapitalize="none" value={login} onChange={(event) => setLogin(event.target.value.trim())} />
            <TextField label={t("wordpress.recipe.email")} type="email" required maxLength={254} value={email} onChange={(event) => setEmail(event.target.value.trim())} />
          </div>
          <SelectField label={t("wordpress.recipe.locale")} value={locale} onChange={(event) => setLocale(event.target.value)}>
            <option value="ja">日本語</option>
            <option value="en_US">English</option>
          </SelectField>
        </>
      ) : (
        <>
          {imports?.detail && (
            <p lang="en" className="text-sm text-warn">
              <Quoted>{imports.detail}</Quoted>
            </p>
          )}
          <FileField label={t("wordpress.recipe.archive")} kind="archive" files={imports?.files ?? []} value={archive} onChange={setArchive} />
          <FileField label={t("wordpress.recipe.dump")} kind="dump" files={imports?.files ?? []} value={dump} onChange={setDump} />
          <TextField label={t("wordpress.recipe.oldUrl")} hint={t("wordpress.recipe.oldUrlHint")} type="url" maxLength={480} spellCheck={false} value={oldUrl} onChange={(event) => setOldUrl(event.target.value.trim())} />
        </>
      )}
      <SelectField label={t("wordpress.column.ring")} hint={t("wordpress.recipe.ringHint")} value={ring} onChange={(event) => setRing(event.target.value === "1" ? 1 : 2)}>
        <option value={1}>1</option>
        <option value={2}>2</option>
      </SelectField>
      <label className="flex items-center gap-2 text-sm">
        <input type="checkbox" className="size-4 accent-accent" checked={isPublic} onChange={(event) => setIsPublic(event.target.checked)} />
        {t("wordpress.recipe.public")}
      </label>
      {plan.error && <InlineError error={plan.error} />}
      <CommandLine command={command} />
      <DialogButtons>
        <Button onClick={onClose}>{t("common.cancel")}</Button>
        <Button type="submit" look="primary" busy={plan.isPending}>
          {t("wordpress.preview")}
        </Button>
      </DialogButtons>
    </form>
  );
}

function FileField({ label, kind, files, value, onChange }: { label: string; kind: "archive" | "dump"; files: readonly { name: string; kind: string }[]; value: string; onChange: (name: string) => void }): ReactNode {
  const { t } = useTranslation();
  const found = files.filter((each) => each.kind === kind);
  return (
    <SelectField label={label} hint={found.length === 0 ? t("wordpress.recipe.noFiles") : undefined} required value={value} onChange={(event) => onChange(event.target.value)}>
      <option value="">{t("wordpress.recipe.choose")}</option>
      {found.map(({ name }) => (
        <option key={name} value={name}>
          {visible(name)}
        </option>
      ))}
    </SelectField>
  );
}

function Removal({ site, onPlan, onClose }: { site: string; onPlan: (plan: SiteRecipePlan) => void; onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const plan = useAct(() => planRecipe({ act: "remove", site }), { onDone: onPlan });
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

function Review({ plan, onStale, onClose }: { plan: SiteRecipePlan; onStale: (plan: SiteRecipePlan) => void; onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const cancel = useRef<HTMLButtonElement>(null);
  const { isPermitted, role } = usePermission("sites:apply");
  const [typed, setTyped] = useState("");
  const isRemoval = plan.wanted === "remove";
  const apply = useAct(() => applyRecipe(plan.id, typed ? [typed] : []), {
    refreshes: [OPERATIONS, WORDPRESS],
    onDone: ({ id }) => void navigate({ to: "/operations/$id", params: { id } }),
  });
  const isWithout = isRemoval && !plan.steps.some(({ name }) => name === "point");
  const again = useAct(() => planRecipe({ act: "remove", site: plan.site, without_restore_point: !isWithout }), { onDone: onStale });
  // The world has changed since: nothing was done, and this is what would be done now.
  const answered = isProblem(apply.error, "plan-stale") ? (apply.error.members["plan"] as SiteRecipePlan | undefined) : undefined;
  // As in every plan, it begins on the way out.
  useEffect(() => cancel.current?.focus(), []);
  const isNothing = plan.changes.length === 0;
  const mayApply = isPermitted && plan.conflicts.length === 0 && !isNothing && (!plan.needs_typed_name || typed === plan.site);
  return (
    <div className="flex flex-col gap-3 text-sm">
      {plan.conflicts.length > 0 && (
        <section role="alert" className="rounded border border-l-4 border-line border-l-bad p-3">
          <h3 className="font-medium">{t("wordpress.recipe.conflicts")}</h3>
          <ul lang="en" className="mt-1 flex flex-col gap-2">
            {plan.conflicts.map(({ what, way_out }) => (
              <li key={what}>
                <Quoted>{what}</Quoted>
                <span className="block text-muted">
                  <Quoted>{way_out}</Quoted>
                </span>
              </li>
            ))}
          </ul>
        </section>
      )}
      {isRemoval && (
        <label className="flex items-center gap-2">
          <input type="checkbox" className="size-4 accent-accent" checked={isWithout} disabled={again.isPending} onChange={() => again.mutate()} />
          {t("wordpress.recipe.withoutPoint")}
        </label>
      )}
      {again.error && <InlineError error={again.error} />}
      <Steps steps={plan.steps} />
      {isNothing ? <p>{t("plan.nothing")}</p> : <PlanChanges changes={plan.changes} />}
      {plan.notes.length > 0 && (
        <section>
          <h3 className="font-medium">{t("wordpress.recipe.notes")}</h3>
          <ul lang="en" className="list-disc pl-5 text-muted">
            {plan.notes.map((note) => (
              <li key={note}>
                <Quoted>{note}</Quoted>
              </li>
            ))}
          </ul>
        </section>
      )}
      <Uses uses={[]} silentRooms={plan.silent_rooms} />
      {isRemoval && <p>{t("wordpress.recipe.removeEffect")}</p>}
      {plan.needs_step_up && <p className="text-muted">{t("wordpress.recipe.needsStepUp")}</p>}
      {plan.needs_typed_name && !isNothing && (
        <TextField label={t("confirm.typeName", { name: plan.site })} autoCapitalize="none" spellCheck={false} value={typed} onChange={(event) => setTyped(event.target.value.trim())} />
      )}
      {apply.error && <InlineError error={apply.error} />}
      {answered && (
        <Button className="self-start" onClick={() => onStale(answered)}>
          {t("wordpress.preview")}
        </Button>
      )}
      {!isPermitted && role && <p className="text-muted">{t("common.needsRole", { role: t(`role.${role}`) })}</p>}
      {isRemoval && <CommandLine command={`homeport site remove ${plan.site}${isWithout ? " --without-restore-point" : ""} --confirm ${plan.site}`} />}
      <DialogButtons>
        <Button ref={cancel} onClick={onClose}>
          {t("common.cancel")}
        </Button>
        <Button look={isRemoval ? "danger" : "primary"} disabled={!mayApply} busy={apply.isPending} onClick={() => apply.mutate()}>
          {t(isRemoval ? "wordpress.recipe.remove" : `wordpress.recipe.${plan.wanted}`)}
        </Button>
      </DialogButtons>
    </div>
  );
}
