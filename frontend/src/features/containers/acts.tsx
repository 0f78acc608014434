/**
 * What can be done with a container, the same in the list and on its page. Start asks nothing; stop and restart say
 * what will happen; a protected container's name is typed where the policy table says so, with a reason, and the portal
 * asks for a fresh factor.
 */

import { Link } from "@tanstack/react-router";
import { LoaderCircle, Play, RotateCw, Square } from "lucide-react";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button, buttonLook, IconButton } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { CommandLine } from "@/components/copy";
import { TextField } from "@/components/field";
import { InlineError } from "@/components/states";
import { Dialog, DialogButtons } from "@/components/dialog";
import { OPERATIONS } from "@/features/operations/requests";
import { usePermission } from "@/features/session/policy";
import { useAct } from "@/lib/act";
import { visible } from "@/lib/hostile-text";

import { actOnContainer, CONTAINERS, type Confirmation, type ContainerView, type ContainerAct } from "./requests";
import { GoesDark } from "./goes-dark";

const ICONS = { start: Play, stop: Square, restart: RotateCw } as const;
const MIN_REASON = 3;

export function ContainerActs({ container, isStale, withWords = false }: { container: ContainerView; isStale: boolean; withWords?: boolean }): ReactNode {
  const { t } = useTranslation();
  const [asked, setAsked] = useState<ContainerAct | null>(null);
  const isUp = container.state === "running" || container.state === "restarting" || container.state === "paused";
  if (container.running_operation) {
    return (
      <Link to="/operations/$id" params={{ id: container.running_operation }} className={buttonLook("quiet", "text-accent")}>
        <LoaderCircle size={14} aria-hidden className="animate-spin" />
        <span className={withWords ? "" : "sr-only lg:not-sr-only"}>{t("containers.busy")}</span>
      </Link>
    );
  }
  return (
    <>
      {(isUp ? (["restart", "stop"] as const) : (["start"] as const)).map((act) => (
        <ActButton key={act} act={act} container={container} isStale={isStale} withWords={withWords} onAsk={() => setAsked(act)} />
      ))}
      {asked && <ActDialog act={asked} container={container} onClose={() => setAsked(null)} />}
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
  const { isPermitted, role } = usePermission(`containers:${act}`);
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

function ActDialog({ act, container, onClose }: { act: ContainerAct; container: ContainerView; onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const { needsTypedName } = usePermission(`containers:${act}`);
  const [reason, setReason] = useState("");
  const isGuarded = container.is_protected && act !== "start";
  const run = useAct((body: Confirmation) => actOnContainer(container.name, act, body), { refreshes: [CONTAINERS, OPERATIONS], onDone: onClose });
  const name = visible(container.name);
  const command = <CommandLine command={`homeport containers ${act} ${container.name}`} />;
  if (act === "start") {
    return (
      <Dialog title={t("containers.start.title", { name })} onClose={onClose}>
        {run.error && <InlineError error={run.error} />}
        {command}
        <DialogButtons>
          <Button onClick={onClose}>{t("common.cancel")}</Button>
          <Button look="primary" busy={run.isPending} onClick={() => run.mutate({})}>
            {t("containers.start.verb")}
          </Button>
        </DialogButtons>
      </Dialog>
    );
  }
  return (
    <Confirm
      title={t(`containers.${act}.title`, { name })}
      verb={t(`containers.${act}.verb`)}
      typedName={needsTypedName(container.is_protected) ? container.name : null}
      isReady={!isGuarded || reason.trim().length >= MIN_REASON}
      act={run}
      onConfirm={() => run.mutate(isGuarded ? { typed_name: container.name, reason: reason.trim() } : {})}
      onClose={onClose}
      isDangerous={act === "stop" || isGuarded}
    >
      <p>{t(`containers.${act}.effect`)}</p>
      {isGuarded && <GoesDark codes={container.goes_dark} />}
      {isGuarded && <TextField label={t("containers.reason")} hint={t("containers.reasonHint")} required maxLength={500} value={reason} onChange={(event) => setReason(event.target.value)} />}
      {command}
    </Confirm>
  );
}
