import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Panel } from "@/components/panel";
import { Quoted } from "@/components/quoted";
import { Status } from "@/components/status";
import { Time } from "@/components/time";
import { useNow } from "@/lib/clock";
import { duration } from "@/lib/format";
import type en from "@/locales/en.json";

import { RunBy } from "./badges";
import { secondsSince } from "./judge";
import type { Overview, PendingJob } from "./requests";
import { Progress, StepName } from "./run-progress";

const NOBODY_AFTER_S = 120; // a request is taken within seconds, where its unit is at work

/** What is asked for and not taken yet, and what runs: whoever began it. */
export function PendingPanel({ pending }: Pick<Overview, "pending">): ReactNode {
  const { t } = useTranslation();
  if (pending.length === 0) return null;
  return (
    <Panel title={t("backups.pending.title")}>
      <ul className="divide-y divide-line text-sm">
        {pending.map((job) => (
          <Job key={job.id} job={job} />
        ))}
      </ul>
    </Panel>
  );
}

function Job({ job }: { job: PendingJob }): ReactNode {
  const { t } = useTranslation();
  const waited = secondsSince(job.at, useNow());
  const isLeft = job.state === "requested" && waited >= NOBODY_AFTER_S;
  return (
    <li className="flex flex-col gap-1 px-3 py-2">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-1">
        {job.operation ? (
          <Link to="/operations/$id" params={{ id: job.operation }} className="font-medium hover:underline">
            <StepVerb verb={job.verb} />
          </Link>
        ) : (
          <Link to="/backups/runs/$id" params={{ id: job.id }} className="font-medium hover:underline">
            <StepVerb verb={job.verb} />
          </Link>
        )}
        <Status tone="running">
          {job.state === "running" ? job.step ? <StepName name={job.step} /> : t("operations.state.running") : t(job.state === "requested" ? "backups.pending.waiting" : "backups.pending.accepted")}
        </Status>
        <span className="text-xs text-muted">
          <RunBy by={job.by} /> · <Time value={job.at} />
        </span>
      </div>
      <Progress {...job} />
      {isLeft && (
        <p role="alert" className="text-warn">
          {t("backups.pending.nobody", { time: duration(waited), unit: unitOf(job.verb) })}
        </p>
      )}
    </li>
  );
}

/** What is asked for here has a name of the policy table; what timers run is named as on the command line. */
export function StepVerb({ verb }: { verb: string }): ReactNode {
  const { t, i18n } = useTranslation();
  const act = `backups:${verb === "vaultdrill" ? "drill" : verb}`;
  return i18n.exists(`act.${act}`) ? t(`act.${act as keyof typeof en.act}`) : <Quoted mono>{verb}</Quoted>;
}

/** Which unit of the host takes a request of this verb. */
function unitOf(verb: string): string {
  return `homeport-backup-requests-${["preview", "restore", "vaultdrill"].includes(verb) ? "restore" : "run"}.path`;
}
