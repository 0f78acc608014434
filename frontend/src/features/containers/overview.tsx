import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { CopyButton } from "@/components/copy";
import { Fact, Facts, Panel } from "@/components/panel";
import { Quoted } from "@/components/quoted";
import { Status } from "@/components/status";
import { Time } from "@/components/time";
import { Uses } from "@/components/uses";
import { bytes } from "@/lib/format";
import { usedByQuery } from "@/lib/used-by";

import type { ContainerDetail } from "./requests";

export function Overview({ container }: { container: ContainerDetail }): ReactNode {
  const { t } = useTranslation();
  return (
    <div className="grid items-start gap-4 lg:grid-cols-2">
      <Panel title={t("containers.overview.run")}>
        <Facts>
          <Fact name={t("containers.overview.stack")}>
            <Quoted>{container.stack}</Quoted> · <Quoted>{container.service}</Quoted>
          </Fact>
          {container.started_at && (
            <Fact name={t("containers.overview.started")}>
              <Time value={container.started_at} absolute />
            </Fact>
          )}
          {container.finished_at && container.state !== "running" && (
            <Fact name={t("containers.overview.ended")}>
              <Time value={container.finished_at} absolute />
            </Fact>
          )}
          {container.exit_code !== null && <Fact name={t("containers.overview.exitCode")}>{container.is_oom_killed ? t("containers.overview.oom", { code: container.exit_code }) : container.exit_code}</Fact>}
          {container.error && (
            <Fact name={t("containers.overview.error")}>
              <Quoted>{container.error}</Quoted>
            </Fact>
          )}
          <Fact name={t("containers.restarts")}>
            {container.restarts} · <Quoted mono>{container.restart_policy || "no"}</Quoted>
          </Fact>
          <Fact name={t("containers.ports")}>
            <List values={container.ports} />
          </Fact>
          <Fact name={t("containers.overview.networks")}>
            <List values={container.networks.map(({ name, address }) => (address ? `${name} ${address}` : name))} />
          </Fact>
        </Facts>
        <UsedBy name={container.name} />
      </Panel>
      <Panel title={t("containers.overview.image")}>
        <Facts>
          <Fact name={t("containers.overview.tag")}>
            <Quoted>{container.image}</Quoted>
          </Fact>
          <Fact name={t("containers.overview.digest")}>
            <span className="flex items-start gap-1">
              <Quoted mono>{container.digest ?? container.image_id}</Quoted>
              <CopyButton text={container.digest ?? container.image_id} />
            </span>
          </Fact>
          <Fact name={t("containers.overview.created")}>
            <Time value={container.created_at} absolute />
          </Fact>
          <Fact name={t("containers.overview.environment")}>
            <List values={container.environment} />
            <p className="text-xs text-muted">{t("containers.overview.namesOnly")}</p>
          </Fact>
        </Facts>
      </Panel>
      <Panel title={t("containers.overview.mounts")}>
        {container.mounts.length === 0 ? (
          <p className="p-3 text-sm text-muted">{t("containers.overview.noMounts")}</p>
        ) : (
          <ul className="divide-y divide-line text-[0.8125rem]">
            {container.mounts.map(({ kind, source, target, is_writable }) => (
              <li key={target} className="flex flex-wrap items-baseline justify-between gap-x-3 px-3 py-1.5">
                <span className="min-w-0">
                  <Quoted mono>{target}</Quoted>
                  <span className="block text-xs text-muted">
                    {kind} <Quoted>{source}</Quoted>
                  </span>
                </span>
                <span className="text-xs text-muted">{t(is_writable ? "containers.overview.writable" : "containers.overview.readOnly")}</span>
              </li>
            ))}
          </ul>
        )}
      </Panel>
      <Panel title={t("containers.overview.limits")}>
        <Facts>
          <Fact name={t("containers.memory")}>{container.memory_limit_bytes === null ? t("containers.overview.unlimited") : bytes(container.memory_limit_bytes)}</Fact>
          <Fact name={t("containers.cpu")}>{container.cpu_limit ?? t("containers.overview.unlimited")}</Fact>
          <Fact name={t("containers.overview.processes")}>{container.pids_limit ?? t("containers.overview.unlimited")}</Fact>
          <Fact name={t("containers.overview.user")}>
            <Quoted mono>{container.user || "root"}</Quoted>
          </Fact>
          <Fact name={t("containers.overview.root")}>{t(container.is_read_only ? "containers.overview.readOnly" : "containers.overview.writable")}</Fact>
          <Fact name={t("containers.overview.privileged")}>
            {container.is_privileged ? <Status tone="warn">{t("common.yes")}</Status> : t("common.no")}
          </Fact>
          <Fact name={t("containers.overview.capabilities")}>
            <List values={[...container.capabilities_added.map((name) => `+${name}`), ...container.capabilities_dropped.map((name) => `−${name}`)]} />
          </Fact>
        </Facts>
      </Panel>
      {container.health_checks.length > 0 && (
        <div className="min-w-0 lg:col-span-2">
          <Panel title={t("containers.overview.healthChecks")} aside={container.failing_streak > 0 && <Status tone="bad">{t("containers.overview.failing", { count: container.failing_streak })}</Status>}>
            <ul className="divide-y divide-line text-[0.8125rem]">
              {container.health_checks.map(({ at, exit_code, output }, index) => (
                <li key={at ?? index} className="flex flex-wrap items-baseline gap-x-4 px-3 py-1.5">
                  <Status tone={exit_code === 0 ? "good" : "bad"}>{t("containers.exitedWith", { code: exit_code })}</Status>
                  {at && <Time value={at} absolute />}
                  <span className="min-w-0 flex-1 basis-60">
                    <Quoted mono>{output}</Quoted>
                  </span>
                </li>
              ))}
            </ul>
          </Panel>
        </div>
      )}
    </div>
  );
}

function List({ values }: { values: readonly string[] }): ReactNode {
  if (values.length === 0) return "–";
  return (
    <ul>
      {values.map((value) => (
        <li key={value}>
          <Quoted mono>{value}</Quoted>
        </li>
      ))}
    </ul>
  );
}

/** What suffers while it is down. Nothing is said where nothing does. */
function UsedBy({ name }: { name: string }): ReactNode {
  const { t } = useTranslation();
  const { data } = useQuery(usedByQuery("container", name));
  if (!data || (data.uses.length === 0 && data.silent_rooms.length === 0)) return null;
  return (
    <div className="border-t border-line px-3 py-2 text-sm">
      <h3 className="text-muted">{t("containers.overview.usedBy")}</h3>
      <Uses uses={data.uses} silentRooms={data.silent_rooms} />
    </div>
  );
}
