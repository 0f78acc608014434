/** The rules in front of the mail API's hostnames: there, missing, different, or not to be known. */

import { lazy, Suspense, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { Panel } from "@/components/panel";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Status, type Tone } from "@/components/status";
import { usePermission } from "@/lib/permission";

import { planRoutes, type ProtectionView, type RouteView } from "./requests";

const PlanDialog = lazy(() => import("@/components/plan-dialog"));

const TONES: Readonly<Record<ProtectionView["state"], Tone>> = { "in-place": "good", missing: "bad", different: "warn", unknown: "unknown" };

export function Protection({ protection, routes }: { protection: readonly ProtectionView[]; routes: readonly RouteView[] }): ReactNode {
  const { t } = useTranslation();
  const { isPermitted, role } = usePermission("dns:plan");
  const [isPlanning, setPlanning] = useState(false);
  const lacking = protection.some(({ state }) => state === "missing" || state === "different");
  const add = routes
    .filter((route) => route.role === "mail-api")
    .map(({ hostname, path, service, role: use }) => ({ hostname, path, service, role: use }));
  return (
    <Panel
      title={t("tunnel.protection")}
      aside={
        lacking && (
          <Button disabled={!isPermitted} title={isPermitted || !role ? undefined : t("common.needsRole", { role: t(`role.${role}`) })} onClick={() => setPlanning(true)}>
            {t("tunnel.protectPlan")}
          </Button>
        )
      }
    >
      {protection.length === 0 ? (
        <Empty title={t("tunnel.noProtection")} />
      ) : (
        <ul className="divide-y divide-line text-sm">
          {protection.map(({ kind, hostname, state, detail, expression }) => (
            <li key={`${kind} ${hostname}`} className="flex flex-wrap items-baseline gap-x-4 gap-y-1 px-3 py-2">
              <span className="font-medium">
                {t(`tunnel.protectionKind.${kind}`)} · <Quoted>{hostname}</Quoted>
              </span>
              <Status tone={TONES[state]}>{t(`tunnel.protectionState.${state}`)}</Status>
              {detail && (
                <span lang="en" className="text-muted">
                  <Quoted>{detail}</Quoted>
                </span>
              )}
              <code className="quoted basis-full font-mono text-xs break-words text-muted">{expression}</code>
            </li>
          ))}
        </ul>
      )}
      {isPlanning && (
        <Suspense>
          <PlanDialog title={t("tunnel.protection")} verb={t("tunnel.addVerb")} make={() => planRoutes({ add, protect: true })} onClose={() => setPlanning(false)} />
        </Suspense>
      )}
    </Panel>
  );
}
