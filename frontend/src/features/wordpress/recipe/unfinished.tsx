/** Runs of a recipe that neither ended nor were taken back: what is done, what kept them, and the two ways on. */

import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { CommandLine } from "@/components/copy";
import { Panel } from "@/components/panel";
import { Quoted } from "@/components/quoted";
import { Time } from "@/components/time";
import { useAct } from "@/lib/act";
import { visible } from "@/lib/hostile-text";
import { OPERATIONS } from "@/lib/operations";
import { usePermission } from "@/lib/permission";

import { resumeRun, revertRun, unfinishedQuery, WORDPRESS, type UnfinishedRun } from "../requests";
import { Steps } from "./steps";

export default function Unfinished(): ReactNode {
  const { t } = useTranslation();
  const { data } = useQuery(unfinishedQuery);
  if (!data || data.runs.length === 0) return null;
  return (
    <Panel title={t("wordpress.recipe.unfinished")}>
      <ul className="divide-y divide-line">
        {data.runs.map((run) => (
          <Run key={run.run} run={run} />
        ))}
      </ul>
    </Panel>
  );
}

function Run({ run }: { run: UnfinishedRun }): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { isPermitted, role } = usePermission("sites:apply");
  const [asked, setAsked] = useState<"resume" | "revert" | null>(null);
  const go = useAct((way: "resume" | "revert") => (way === "resume" ? resumeRun(run.run) : revertRun(run.run)), {
    refreshes: [OPERATIONS, WORDPRESS],
    onDone: ({ id }) => void navigate({ to: "/operations/$id", params: { id } }),
  });
  const why = isPermitted || !role ? undefined : t("common.needsRole", { role: t(`role.${role}`) });
  return (
    <li className="flex flex-col gap-2 p-3 text-sm">
      <p className="flex flex-wrap items-baseline gap-x-3">
        <span className="font-medium">{t(`wordpress.recipe.of.${run.wanted}`, { site: visible(run.site) })}</span>
        <span className="text-xs text-muted">
          <Time value={run.began_at} />
        </span>
      </p>
      <p lang={run.trouble ? "en" : undefined} className="text-muted">
        {run.trouble ? <Quoted>{run.trouble}</Quoted> : t("wordpress.recipe.interrupted")}
      </p>
      <Steps steps={run.steps} />
      <div className="flex flex-wrap items-center gap-2">
        <Button disabled={!isPermitted} title={why} onClick={() => setAsked("resume")}>
          {t("wordpress.recipe.resume")}
        </Button>
        <Button disabled={!isPermitted} title={why} onClick={() => setAsked("revert")}>
          {t("wordpress.recipe.revert")}
        </Button>
      </div>
      {asked && (
        <Confirm
          title={t(`wordpress.recipe.${asked}`)}
          verb={t(`wordpress.recipe.${asked}`)}
          act={go}
          isDangerous={asked === "revert" || run.wanted === "remove"}
          onConfirm={() => go.mutate(asked)}
          onClose={() => setAsked(null)}
        >
          <p>{t(asked === "resume" ? "wordpress.recipe.resumeEffect" : "wordpress.recipe.revertEffect", { site: visible(run.site) })}</p>
          <CommandLine command={`homeport site unfinished ${run.run} --${asked}`} />
        </Confirm>
      )}
    </li>
  );
}
