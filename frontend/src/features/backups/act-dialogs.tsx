/** The dialogs of the room's acts: loaded when one is asked for. */

import { useNavigate } from "@tanstack/react-router";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import type { OperationView, RunDrill } from "@/api/types.gen";
import { Confirm } from "@/components/confirm";
import { CommandLine } from "@/components/copy";
import { SelectField } from "@/components/field";
import { useAct } from "@/lib/act";
import { OPERATIONS } from "@/lib/operations";

import { useAssetName } from "./badges";
import { drillCommand, runCommand, verifyCommand } from "./command-lines";
import { assetKey, assetOf, restorable } from "./judge";
import { BACKUPS, runBackup, runDrill, verifyPoint, type AssetView, type Known } from "./requests";
import { dollars } from "./store-panels";

/** Begin it, and go where it is seen. */
function useBegin<V = void>(run: (variables: V) => Promise<OperationView>): ReturnType<typeof useAct<V, OperationView>> {
  const navigate = useNavigate();
  return useAct(run, { refreshes: [OPERATIONS, BACKUPS], onDone: ({ id }) => void navigate({ to: "/operations/$id", params: { id } }) });
}

export function RunDialog({ overview, onClose }: { overview: Known; onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const [scope, setScope] = useState("all");
  const run = useBegin(() => runBackup({ scope }));
  return (
    <Confirm title={t("backups.run.title")} verb={t("backups.run.verb")} act={run} isDangerous={false} onConfirm={() => run.mutate()} onClose={onClose}>
      <p>{t("backups.run.about", { count: overview.retention.manual_days })}</p>
      <SelectField label={t("backups.run.scope")} value={scope} onChange={(event) => setScope(event.target.value)}>
        <option value="all">{t("backups.asset.everything")}</option>
        <AssetOptions assets={overview.assets} />
      </SelectField>
      <CommandLine command={runCommand(scope)} />
    </Confirm>
  );
}

export function DrillDialog({ overview, onClose }: { overview: Known; onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const [asset, setAsset] = useState("");
  const [origin, setOrigin] = useState<NonNullable<RunDrill["origin"]>>("local");
  const run = useBegin(() => runDrill({ asset: asset === "" ? null : (assetOf(asset) as NonNullable<RunDrill["asset"]>), origin }));
  const { vault } = overview;
  return (
    <Confirm title={t("backups.drill.title")} verb={t("backups.drill.verb")} act={run} isDangerous={false} onConfirm={() => run.mutate()} onClose={onClose}>
      <p>{t("backups.drill.about")}</p>
      <SelectField label={t("backups.drills.asset")} value={asset} onChange={(event) => setAsset(event.target.value)}>
        <option value="">{t("backups.drill.rotating")}</option>
        <AssetOptions assets={overview.assets} />
      </SelectField>
      <SelectField label={t("backups.drills.origin")} value={origin} onChange={(event) => setOrigin(event.target.value === "vault" ? "vault" : "local")}>
        <option value="local">{t("backups.origin.local")}</option>
        <option value="vault" disabled={vault.state === "off"}>
          {t("backups.origin.vault")}
        </option>
      </SelectField>
      {origin === "vault" && vault.cost && <p className="text-warn">{t("backups.drill.egress", { cost: dollars(vault.cost.egress_usd) })}</p>}
      <CommandLine command={drillCommand(asset, origin)} />
    </Confirm>
  );
}

function AssetOptions({ assets }: { assets: readonly AssetView[] }): ReactNode {
  const nameOf = useAssetName();
  return restorable(assets).map((asset) => (
    <option key={assetKey(asset)} value={assetKey(asset)}>
      {nameOf(asset)}
    </option>
  ));
}

export function VerifyDialog({ point, onClose }: { point: string; onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const run = useBegin(() => verifyPoint(point));
  return (
    <Confirm title={t("backups.verify.of", { point })} verb={t("backups.verify.verb")} act={run} isDangerous={false} onConfirm={() => run.mutate()} onClose={onClose}>
      <p>{t("backups.verify.about")}</p>
      <CommandLine command={verifyCommand(point)} />
    </Confirm>
  );
}
