/** One mail domain: its checks with their findings, what the DNS said, and what a plan can mend. */

import { lazy, Suspense, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { Panel } from "@/components/panel";
import { Quoted } from "@/components/quoted";
import { Empty, InlineError } from "@/components/states";
import { useAct } from "@/lib/act";
import { visible } from "@/lib/hostile-text";
import { usePermission } from "@/lib/permission";

import { checkCommand } from "../command-lines";
import { DNS } from "../requests";
import { checkDomain, planFix, type CheckView, type DomainPosture, type FindingView } from "./requests";
import { Verdict } from "./verdict";

const PlanDialog = lazy(() => import("@/components/plan-dialog"));

export function DomainPanel({ posture: { domain, unicode_domain, checks, spf_lookups } }: { posture: DomainPosture }): ReactNode {
  const { t } = useTranslation();
  const mayCheck = usePermission("dns:refresh");
  const mayPlan = usePermission("dns:plan");
  const [fixed, setFixed] = useState<readonly string[] | null>(null);
  const check = useAct(() => checkDomain(domain), { refreshes: [[...DNS, "posture"]] });
  const fixable = checks.flatMap(({ findings }) => findings.filter(({ is_fixable }) => is_fixable).map(({ id }) => id));
  const why = ({ isPermitted, role }: typeof mayPlan): string | undefined => (isPermitted || !role ? undefined : t("common.needsRole", { role: t(`role.${role}`) }));
  return (
    <Panel
      title={t("posture.details", { domain: visible(unicode_domain) })}
      aside={
        <>
          {fixable.length > 1 && (
            <Button look="primary" disabled={!mayPlan.isPermitted} title={why(mayPlan)} onClick={() => setFixed(fixable)}>
              {t("posture.fix")}
            </Button>
          )}
          <Button disabled={!mayCheck.isPermitted} title={why(mayCheck)} busy={check.isPending} onClick={() => check.mutate()}>
            {t("posture.checkNow")}
          </Button>
        </>
      }
    >
      {check.error && (
        <div className="p-3">
          <InlineError error={check.error} />
        </div>
      )}
      {checks.length === 0 ? (
        <Empty title={t("posture.never")} />
      ) : (
        <ul className="divide-y divide-line text-sm">
          {checks.map((each) => (
            <CheckRow key={each.check} check={each} lookups={each.check === "spf" ? spf_lookups : null} onFix={(id) => setFixed([id])} fixTitle={why(mayPlan)} mayFix={mayPlan.isPermitted} />
          ))}
        </ul>
      )}
      {fixable.length > 0 && (
        <div className="p-3">
          <CommandLine command={checkCommand(domain, fixable)} />
        </div>
      )}
      {fixed && (
        <Suspense>
          <PlanDialog title={t("posture.fixTitle", { domain: visible(unicode_domain) })} verb={t("posture.fixVerb")} make={() => planFix(domain, [...fixed])} onClose={() => setFixed(null)} />
        </Suspense>
      )}
    </Panel>
  );
}

function CheckRow({ check, lookups, onFix, mayFix, fixTitle }: { check: CheckView; lookups: number | null; onFix: (id: string) => void; mayFix: boolean; fixTitle: string | undefined }): ReactNode {
  const { t } = useTranslation();
  return (
    <li className="flex flex-col gap-1.5 px-3 py-2.5">
      <p className="flex flex-wrap items-baseline gap-x-3 gap-y-1">
        <span className="font-medium">{t(`posture.checkName.${check.check}`)}</span>
        <Verdict verdict={check.verdict} />
        <span className="text-xs text-muted">
          {[lookups === null ? null : t("posture.lookups", { count: lookups }), check.resolver === null ? null : t("posture.askedAt", { resolver: visible(check.resolver) })].filter(Boolean).join(" · ")}
        </span>
      </p>
      <ul className="flex flex-col gap-1.5">
        {check.findings.map((finding) => (
          <li key={finding.id} className="flex flex-wrap items-baseline gap-x-3 gap-y-1">
            <FindingText finding={finding} />
            {finding.is_fixable && (
              <Button disabled={!mayFix} title={fixTitle} onClick={() => onFix(finding.id)}>
                {t("posture.fixOne")}
              </Button>
            )}
          </li>
        ))}
      </ul>
      {check.quoted.length > 0 && (
        <details className="text-xs">
          <summary className="cursor-pointer text-muted">{t("posture.quoted")}</summary>
          <ul className="mt-1 flex flex-col gap-0.5 break-words">
            {check.quoted.map((text) => (
              <li key={text}>
                <Quoted mono>{text}</Quoted>
              </li>
            ))}
          </ul>
        </details>
      )}
    </li>
  );
}

function FindingText({ finding: { code, params, text } }: { finding: FindingView }): ReactNode {
  const { t, i18n } = useTranslation();
  const key = `posture.finding.${code}`;
  return <p className="quoted max-w-prose flex-1 basis-60">{i18n.exists(key) ? t(key as "posture.finding.spf-ok", params as Record<string, string | number>) : visible(text)}</p>;
}
