import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { CopyButton } from "@/components/copy";
import { Dialog, DialogButtons } from "@/components/dialog";
import { TextField } from "@/components/field";
import { Panel } from "@/components/panel";
import { InlineError } from "@/components/states";
import { Status } from "@/components/status";
import { Time } from "@/components/time";
import { sessionQuery } from "@/lib/session";
import { useAct } from "@/lib/act";

import { accountQuery, beginTotp, confirmTotp, removeTotp, type TotpEnrolment } from "./requests";

const REFRESHES = [accountQuery.queryKey, sessionQuery.queryKey];

export function TotpPanel({ enrolledAt, onCodes }: { enrolledAt: string | null; onCodes: (codes: readonly string[] | null) => void }): ReactNode {
  const { t } = useTranslation();
  const [enrolment, setEnrolment] = useState<TotpEnrolment | null>(null);
  const [removing, setRemoving] = useState(false);
  const begin = useAct(beginTotp, { onDone: setEnrolment });
  const remove = useAct(removeTotp, { refreshes: REFRESHES, onDone: () => setRemoving(false) });
  return (
    <Panel
      title={t("account.totp.title")}
      aside={
        enrolledAt ? (
          <Button onClick={() => setRemoving(true)}>{t("common.remove")}</Button>
        ) : (
          <Button busy={begin.isPending} onClick={() => begin.mutate()}>
            {t("account.totp.add")}
          </Button>
        )
      }
    >
      <div className="flex flex-col gap-2 p-3 text-sm">
        {enrolledAt ? (
          <p className="flex flex-wrap items-center gap-2">
            <Status tone="good">{t("account.totp.on")}</Status>
            <span className="text-muted">
              <Time value={enrolledAt} />
            </span>
          </p>
        ) : (
          <p className="text-muted">{t("account.totp.off")}</p>
        )}
        {begin.error && <InlineError error={begin.error} />}
      </div>
      {enrolment && (
        <Enrol
          enrolment={enrolment}
          onClose={() => setEnrolment(null)}
          onDone={(codes) => {
            setEnrolment(null);
            onCodes(codes);
          }}
        />
      )}
      {removing && (
        <Confirm title={t("account.totp.removeTitle")} verb={t("common.remove")} act={remove} onConfirm={() => remove.mutate()} onClose={() => setRemoving(false)}>
          <p>{t("account.factorRemoval")}</p>
        </Confirm>
      )}
    </Panel>
  );
}

function Enrol({ enrolment, onClose, onDone }: { enrolment: TotpEnrolment; onClose: () => void; onDone: (codes: readonly string[] | null) => void }): ReactNode {
  const { t } = useTranslation();
  const [code, setCode] = useState("");
  const confirm = useAct(() => confirmTotp({ enrolment: enrolment.enrolment, code }), {
    refreshes: REFRESHES,
    onDone: ({ recovery_codes }) => onDone(recovery_codes),
  });
  return (
    <Dialog title={t("account.totp.add")} onClose={onClose}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (!confirm.isPending) confirm.mutate();
        }}
      >
        <p className="text-sm">{t("account.totp.scan")}</p>
        {/* an image cannot run anything, whatever stands in the SVG; white, because cameras want contrast */}
        <img src={`data:image/svg+xml;charset=utf-8,${encodeURIComponent(enrolment.qr_svg)}`} alt={t("account.totp.qr")} className="mx-auto size-48 rounded bg-white p-2" />
        <div className="flex items-center gap-1 rounded border border-line bg-sunken pl-2.5">
          <code className="min-w-0 flex-1 py-1 font-mono text-xs break-all">{enrolment.secret}</code>
          <CopyButton text={enrolment.secret} />
        </div>
        <TextField label={t("session.totpCode")} inputMode="numeric" autoComplete="one-time-code" required value={code} onChange={(event) => setCode(event.target.value)} />
        {confirm.error && <InlineError error={confirm.error} />}
        <DialogButtons>
          <Button onClick={onClose}>{t("common.cancel")}</Button>
          <Button type="submit" look="primary" busy={confirm.isPending}>
            {t("account.totp.confirm")}
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  );
}
