import { Download } from "lucide-react";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button, buttonLook } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { CopyButton } from "@/components/copy";
import { Dialog, DialogButtons } from "@/components/dialog";
import { Panel } from "@/components/panel";
import { Status } from "@/components/status";
import { useAct } from "@/lib/act";

import { accountQuery, newRecoveryCodes } from "./requests";

const FEW = 3;

export function RecoveryCodesPanel({ left, hasFactor, onCodes }: { left: number; hasFactor: boolean; onCodes: (codes: readonly string[] | null) => void }): ReactNode {
  const { t } = useTranslation();
  const [asked, setAsked] = useState(false);
  const renew = useAct(newRecoveryCodes, {
    refreshes: [accountQuery.queryKey],
    onDone: ({ recovery_codes }) => {
      setAsked(false);
      onCodes(recovery_codes);
    },
  });
  return (
    <Panel title={t("account.recovery.title")} aside={hasFactor && <Button onClick={() => setAsked(true)}>{t("account.recovery.renew")}</Button>}>
      <div className="flex flex-col gap-1 p-3 text-sm">
        {hasFactor ? (
          <Status tone={left >= FEW ? "good" : "warn"}>{t("account.recovery.left", { count: left })}</Status>
        ) : (
          <p className="text-muted">{t("account.recovery.none")}</p>
        )}
      </div>
      {asked && (
        <Confirm title={t("account.recovery.renew")} verb={t("account.recovery.renew")} act={renew} onConfirm={() => renew.mutate()} onClose={() => setAsked(false)}>
          <p>{t("account.recovery.renewWarning")}</p>
        </Confirm>
      )}
    </Panel>
  );
}

/** Shown once. The file is made here: the codes go nowhere. */
export function RecoveryCodesDialog({ codes, onClose }: { codes: readonly string[]; onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const text = codes.join("\n");
  return (
    <Dialog title={t("account.recovery.title")} onClose={onClose}>
      <p className="text-sm">{t("account.recovery.once")}</p>
      <ul className="grid grid-cols-2 gap-x-4 gap-y-1 rounded border border-line bg-sunken p-3 font-mono text-sm">
        {codes.map((code) => (
          <li key={code}>{code}</li>
        ))}
      </ul>
      <DialogButtons>
        <CopyButton text={text} />
        <a className={buttonLook()} download="homeport-recovery-codes.txt" href={`data:text/plain;charset=utf-8,${encodeURIComponent(`${text}\n`)}`}>
          <Download size={14} aria-hidden />
          {t("common.download")}
        </a>
        <Button look="primary" onClick={onClose}>
          {t("account.recovery.kept")}
        </Button>
      </DialogButtons>
    </Dialog>
  );
}
