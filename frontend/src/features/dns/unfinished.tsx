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

import { planUnfinished, type Unfinished } from "./requests";

const PlanDialog = lazy(() => import("@/components/plan-dialog"));

/** A plan of which a part is at Cloudflare and the rest is not: how far it came, and both ways out. */
export function UnfinishedNotice({ unfinished }: { unfinished: Unfinished }): ReactNode {
  const { t } = useTranslation();
  const { isPermitted, role } = usePermission("dns:plan");
  const [way, setWay] = useState<"finish" | "revert" | null>(null);
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
          <Button key={each} disabled={!isPermitted} title={isPermitted || !role ? undefined : t("common.needsRole", { role: t(`role.${role}`) })} onClick={() => setWay(each)}>
            {t(`dns.unfinished.${each}`)}
          </Button>
        ))}
      </div>
      <CommandLine command={`homeport dns finish ${operation_id}`} />
      {way && (
        <Suspense>
          <PlanDialog title={t(`dns.unfinished.${way}Title`, { zone: visible(zone) })} verb={t(`dns.unfinished.${way}`)} make={() => planUnfinished(unfinished, way)} onClose={() => setWay(null)} />
        </Suspense>
      )}
    </div>
  );
}
