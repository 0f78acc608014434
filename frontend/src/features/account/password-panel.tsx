import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { Dialog, DialogButtons } from "@/components/dialog";
import { TextField } from "@/components/field";
import { Panel } from "@/components/panel";
import { InlineError } from "@/components/states";
import { toast } from "@/components/toast";
import { useAct } from "@/lib/act";

import { accountQuery, changePassword } from "./requests";

export function PasswordPanel(): ReactNode {
  const { t } = useTranslation();
  const [open, setOpen] = useState(false);
  return (
    <Panel title={t("session.password")} aside={<Button onClick={() => setOpen(true)}>{t("account.password.change")}</Button>}>
      <p className="p-3 text-sm text-muted">{t("account.password.about")}</p>
      {open && <ChangePassword onClose={() => setOpen(false)} />}
    </Panel>
  );
}

function ChangePassword({ onClose }: { onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const [current, setCurrent] = useState("");
  const [fresh, setFresh] = useState("");
  const change = useAct(() => changePassword({ current, new: fresh }), {
    refreshes: [accountQuery.queryKey],
    onDone: () => {
      toast(t("account.password.changed"));
      onClose();
    },
  });
  return (
    <Dialog title={t("account.password.change")} onClose={onClose}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (!change.isPending) change.mutate();
        }}
      >
        <TextField label={t("account.password.current")} type="password" autoComplete="current-password" required value={current} onChange={(event) => setCurrent(event.target.value)} />
        <TextField label={t("session.newPassword")} hint={t("session.passwordHint")} type="password" autoComplete="new-password" required value={fresh} onChange={(event) => setFresh(event.target.value)} />
        {change.error && <InlineError error={change.error} />}
        <DialogButtons>
          <Button onClick={onClose}>{t("common.cancel")}</Button>
          <Button type="submit" look="primary" busy={change.isPending}>
            {t("account.password.change")}
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  );
}
