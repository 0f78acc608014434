/**
 * What can be done with a container, the same in the list and on its page. Starting and stopping are planned first: the
 * dialog shows what changes and what goes dark, and the way back is offered afterwards. A restart has no way back and
 * says what will happen. A protected container's name is typed where the policy table says so, with a reason, and the
 * portal asks for a fresh factor.
 */

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { LoaderCircle, Play, RotateCw, Square } from "lucide-react";
import { lazy, Suspense, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button, buttonLook, IconButton } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { CommandLine } from "@/components/copy";
import { TextField } from "@/components/field";
import { Uses } from "@/components/uses";
import { useAct } from "@/lib/act";
import { visible } from "@/lib/hostile-text";
import { OPERATIONS } from "@/lib/operations";
import { usePermission } from "@/lib/permission";
import { planContainers } from "@/lib/plans";
import { usedByQuery } from "@/lib/used-by";

import { CONTAINERS, restartContainer, type Confirmation, type ContainerAct, type ContainerView } from "./requests";

const PlanDialog = lazy(() => import("@/components/plan-dialog"));

const ICONS = { start: Play, stop: Square, restart: RotateCw } as const;
const PERMISSIONS = { start: "containers:apply", stop: "containers:apply", restart: "containers:restart" } as const;
const MIN_REASON = 3;

export function ContainerActs({
  container,
  isStale,
  asked,
  onAsk,
  withWords = false,
}: {
  container: ContainerView;
  isStale: boolean;
  asked: ContainerAct | null; // whose dialog is open
  onAsk: (act: ContainerAct | null) => void;
  withWords?: boolean;
}): ReactNode {
  const { t } = useTranslation();
  const isUp = container.state === "running" || container.state === "restarting" || container.state === "paused";
  const acts: readonly ContainerAct[] = isUp ? ["restart", "stop"] : ["start"];
  const close = (): void => onAsk(null);
  const name = visible(container.name);
  return (
    <>
      {container.running_operation ? (
        <Link to="/operations/$id" params={{ id: container.running_operation }} className={buttonLook("quiet", "text-accent")}>
          <LoaderCircle size={14} aria-hidden className="animate-spin" />
          <span className={withWords ? "" : "sr-only lg:not-sr-only"}>{t("containers.busy")}</span>
        </Link>
      ) : (
        acts.map((act) => <ActButton key={act} act={act} container={container} isStale={isStale} withWords={withWords} onAsk={() => onAsk(act)} />)
      )}
      {asked === "restart" && <RestartDialog container={container} onClose={close} />}
      {(asked === "start" || asked === "stop") && (
        <Suspense>
          <PlanDialog
            title={t(`containers.${asked}.title`, { name })}
            verb={t(`containers.${asked}.verb`)}
            isDangerous={asked === "stop"}
            make={() => planContainers([container.name], asked === "start" ? "running" : "stopped")}
            onClose={close}
          />
        </Suspense>
      )}
    </>
  );
}

function ActButton({
  act,
  container,
  isStale,
  withWords,
  onAsk,
}: {
  act: ContainerAct;
  container: ContainerView;
  isStale: boolean;
  withWords: boolean;
  onAsk: () => void;
}): ReactNode {
  const { t } = useTranslation();
  const { isPermitted, role } = usePermission(PERMISSIONS[act]);
  const Icon = ICONS[act];
  const verb = t(`containers.${act}.verb`);
  const why = isStale ? t("containers.staleActs") : !isPermitted && role ? t("common.needsRole", { role: t(`role.${role}`) }) : null;
  const name = t("containers.actOn", { act: verb, name: visible(container.name) });
  const shared = { disabled: isStale || !isPermitted, onClick: onAsk };
  return withWords ? (
    <Button {...shared} title={why ?? undefined}>
      <Icon size={14} aria-hidden />
      {verb}
    </Button>
  ) : (
    <IconButton {...shared} label={why ? `${name}: ${why}` : name}>
      <Icon size={15} aria-hidden />
    </IconButton>
  );
}

function RestartDialog({ container, onClose }: { container: ContainerView; onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const { needsTypedName } = usePermission("containers:restart");
  const { data: used } = useQuery(usedByQuery("container", container.name));
  const [reason, setReason] = useState("");
  const isGuarded = container.is_protected;
  const run = useAct((body: Confirmation) => restartContainer(container.name, body), { refreshes: [CONTAINERS, OPERATIONS], onDone: onClose });
  return (
    <Confirm
      title={t("containers.restart.title", { name: visible(container.name) })}
      verb={t("containers.restart.verb")}
      typedName={needsTypedName(isGuarded) ? container.name : null}
      isReady={!isGuarded || reason.trim().length >= MIN_REASON}
      act={run}
      onConfirm={() => run.mutate(isGuarded ? { typed_name: container.name, reason: reason.trim() } : {})}
      onClose={onClose}
      isDangerous={isGuarded}
    >
      <p>{t("containers.restart.effect")}</p>
      {used && (used.uses.length > 0 || used.silent_rooms.length > 0) && (
        <div className="rounded border-l-4 border-warn bg-sunken px-3 py-2">
          <p className="font-medium">{t("containers.goesDark")}</p>
          <Uses uses={used.uses} silentRooms={used.silent_rooms} />
        </div>
      )}
      {isGuarded && <TextField label={t("containers.reason")} hint={t("containers.reasonHint")} required maxLength={500} value={reason} onChange={(event) => setReason(event.target.value)} />}
      <CommandLine command={`homeport containers restart ${container.name}`} />
    </Confirm>
  );
}
