/** Changes that nobody made by Homeport: what it was, what it is, since when; taken as they are, or taken back. */

import { lazy, Suspense, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { Panel } from "@/components/panel";
import { Quoted } from "@/components/quoted";
import RecordChange from "@/components/record-change";
import { Empty, InlineError } from "@/components/states";
import { Status } from "@/components/status";
import { Time } from "@/components/time";
import { useAct } from "@/lib/act";
import { visible } from "@/lib/hostile-text";
import { usePermission } from "@/lib/permission";

import { driftCommand } from "./command-lines";
import { acceptDrift, DNS, planDriftBack, type DriftView } from "./requests";

const PlanDialog = lazy(() => import("@/components/plan-dialog"));

const MAX_SHOWN = 200;

/** `isKnown`: the zone was read lately, so that none is none. `isAll`: with those that are settled. */
export function DriftList({ zone, drift, isKnown = true, isAll = false, aside }: { zone: string; drift: readonly DriftView[]; isKnown?: boolean; isAll?: boolean; aside?: ReactNode }): ReactNode {
  const { t } = useTranslation();
  const mayAccept = usePermission("dns:accept");
  const mayPlan = usePermission("dns:plan");
  const [chosen, setChosen] = useState<ReadonlySet<number>>(new Set());
  const [reverted, setReverted] = useState<readonly number[] | null>(null);
  const open = drift.filter(({ state }) => state === "open");
  const wanted = chosen.size > 0 ? open.filter(({ id }) => chosen.has(id)) : open;
  const ids = wanted.map(({ id }) => id);
  const accept = useAct(() => acceptDrift(zone, ids), { refreshes: [DNS], onDone: () => setChosen(new Set()) });
  const why = ({ isPermitted, role }: typeof mayPlan): string | undefined => (isPermitted || !role ? undefined : t("common.needsRole", { role: t(`role.${role}`) }));
  return (
    <Panel
      title={t("dns.drift.title")}
      aside={
        <>
          {aside}
          {open.length > 0 && (
            <>
              <Button disabled={!mayPlan.isPermitted} title={why(mayPlan)} onClick={() => setReverted(ids)}>
                {t(chosen.size > 0 ? "dns.drift.revertChosen" : "dns.drift.revert", { count: ids.length })}
              </Button>
              <Button disabled={!mayAccept.isPermitted} title={why(mayAccept)} busy={accept.isPending} onClick={() => accept.mutate()}>
                {t(chosen.size > 0 ? "dns.drift.acceptChosen" : "dns.drift.accept", { count: ids.length })}
              </Button>
            </>
          )}
        </>
      }
    >
      {accept.error && (
        <div className="p-3">
          <InlineError error={accept.error} />
        </div>
      )}
      {drift.length === 0 ? (
        <Empty title={t(isKnown ? "dns.drift.empty" : "dns.drift.unknown")}>{t(isKnown ? "dns.drift.emptyWhy" : "dns.drift.unknownWhy")}</Empty>
      ) : (
        <ul aria-label={t("dns.drift.title")} className="divide-y divide-line text-sm">
          {drift.slice(0, MAX_SHOWN).map((each) => (
            <li key={each.id} className="flex flex-wrap items-baseline gap-x-3 gap-y-1 px-3 py-2">
              {each.state === "open" && (
                <input
                  type="checkbox"
                  className="size-4 self-center accent-accent"
                  aria-label={t("containers.select", { name: visible(each.name) })}
                  checked={chosen.has(each.id)}
                  onChange={(event) => {
                    const next = new Set(chosen);
                    if (event.target.checked) next.add(each.id);
                    else next.delete(each.id);
                    setChosen(next);
                  }}
                />
              )}
              <span className="min-w-0 flex-1 basis-40 font-medium">
                <Quoted>{each.name}</Quoted>
              </span>
              <span className="text-xs text-muted">
                {t("dns.drift.seen")} <Time value={each.seen_at} />
              </span>
              {each.state !== "open" && (
                <Status tone="idle">
                  {t(`dns.drift.state.${each.state}`)}
                  {each.settled_by && (
                    <>
                      {" · "}
                      <Quoted>{each.settled_by}</Quoted>
                    </>
                  )}
                </Status>
              )}
              <RecordChange before={each.before} after={each.after} isPast />
            </li>
          ))}
        </ul>
      )}
      {drift.length > MAX_SHOWN && <p className="p-3 text-sm text-muted">{t("plan.moreChanges", { count: drift.length - MAX_SHOWN })}</p>}
      <div className="flex flex-col gap-2 p-3">
        {chosen.size > 0 ? (["revert", "accept"] as const).map((act) => <CommandLine key={act} command={driftCommand(zone, { act, ids })} />) : <CommandLine command={driftCommand(zone, { isAll })} />}
      </div>
      {reverted && (
        <Suspense>
          <PlanDialog
            title={t("dns.drift.revertTitle", { count: reverted.length })}
            verb={t("dns.drift.revertVerb")}
            make={() => planDriftBack(zone, [...reverted])}
            onApplied={() => setChosen(new Set())}
            onClose={() => setReverted(null)}
          />
        </Suspense>
      )}
    </Panel>
  );
}
