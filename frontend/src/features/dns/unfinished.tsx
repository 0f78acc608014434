import { TriangleAlert } from "lucide-react";
import { Link } from "@tanstack/react-router";
import { lazy, Suspense, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { Quoted } from "@/components/quoted";
import { Time } from "@/components/time";
import { visible } from "@/lib/hostile-text";
import { usePermission } from "@/lib/permission";

import { unfinishedCommand } from "./command-lines";
import { planUnfinished, type Unfinished } from "./requests";

const PlanDialog = lazy(() => import("@/components/plan-dialog"));

type Way = "finish" | "revert";

/** Plans of which a part is at Cloudflare and the rest is not. The dialog stays until it is closed, also when its notice has gone. */
export function UnfinishedNotices({ unfinished }: { unfinished: readonly Unfinished[] }): ReactNode {
  const { t } = useTranslation();
  const [asked, setAsked] = useState<{ of: Unfinished; way: Way } | null>(null);
  return (
    <>
      {unfinished.map((each) => (
        <Notice key={each.operation_id} unfinished={each} onAsk={(way) => setAsked({ of: each, way })} />
      ))}
      {asked && (
        <Suspense>
          <PlanDialog
            title={t(`dns.unfinished.${asked.way}Title`, { zone: visible(asked.of.zone) })}
            verb={t(`dns.unfinished.${asked.way}`)}
            make={() => planUnfinished(asked.of, asked.way)}
            onClose={() => setAsked(null)}
          />
        </Suspense>
      )}
    </>
  );
}

/** How far it came, and both ways out. */
function Notice({ unfinished, onAsk }: { unfinished: Unfinished; onAsk: (way: Way) => void }): ReactNode {
  const { t } = useTranslation();
  const { isPermitted, role } = usePermission("dns:plan");
  const { zone, batches_done, batches, changes, since, detail, operation_id } = unfinished;
  return (
    <div role="alert" className="flex flex-col items-start gap-2 rounded-lg border border-l-4 border-line border-l-bad bg-panel p-4 text-sm">
      <p className="flex items-center gap-2 font-medium">
        <TriangleAlert size={16} aria-hidden className="shrink-0 text-bad" />
        {t("dns.unfinished.title", { zone: visible(zone) })}
      </p>
      <p className="text-muted">
        {t("dns.unfinished.how", { done: batches_done, batches, changes })} <Time value={since} />{" "}
        <Link to="/operations/$id" params={{ id: operation_id }} className="underline">
          {t("operations.toIt")}
        </Link>
      </p>
      {detail && (
        <blockquote lang="en" className="border-l-2 border-edge pl-2 text-xs text-muted">
          <Quoted>{detail}</Quoted>
        </blockquote>
      )}
      <div className="flex flex-wrap items-center gap-2">
        {(["finish", "revert"] as const).map((each) => (
          <Button key={each} disabled={!isPermitted} title={isPermitted || !role ? undefined : t("common.needsRole", { role: t(`role.${role}`) })} onClick={() => onAsk(each)}>
            {t(`dns.unfinished.${each}`)}
          </Button>
        ))}
      </div>
      <CommandLine command={unfinishedCommand(operation_id, "finish")} />
      <CommandLine command={unfinishedCommand(operation_id, "revert")} />
    </div>
  );
}
