import { useRef, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { Dialog, DialogButtons } from "@/components/dialog";
import { TextField } from "@/components/field";
import { InlineError } from "@/components/states";
import { useAct } from "@/lib/act";
import { OPERATIONS } from "@/lib/operations";

import { createCommand } from "./command-lines";
import { PasswordDialog } from "./password-dialog";
import { createDatabase, DATABASES, type WithPassword } from "./requests";

const NAME = /^[A-Za-z][A-Za-z0-9_]{0,63}$/; // portal/databases/schemas.py

/** An empty database, and an account that may work in it alone. */
export default function CreateDialog({ server, onClose }: { server: string; onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const [database, setDatabase] = useState("");
  const [account, setAccount] = useState("");
  const [made, setMade] = useState<WithPassword | null>(null);
  const first = useRef<HTMLInputElement>(null);
  const create = useAct(() => createDatabase(server, database, account || null), { refreshes: [DATABASES, OPERATIONS], onDone: setMade });
  if (made) return <PasswordDialog title={t("databases.create.verb")} made={made} onClose={onClose} />;
  const wrong = (name: string): string | null => (name === "" || NAME.test(name) ? null : t("databases.create.nameRule"));
  const isReady = NAME.test(database) && wrong(account) === null;
  return (
    <Dialog title={t("databases.create.title", { server })} onClose={onClose} initialFocus={first}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (isReady && !create.isPending) create.mutate();
        }}
      >
        <p className="text-sm text-muted">{t("databases.create.about")}</p>
        <TextField ref={first} label={t("databases.column.database")} hint={t("databases.create.nameHint")} error={wrong(database)} autoCapitalize="none" spellCheck={false} maxLength={64} value={database} onChange={(event) => setDatabase(event.target.value)} />
        <TextField label={t("databases.column.account")} hint={t("databases.create.accountHint")} placeholder={database} error={wrong(account)} autoCapitalize="none" spellCheck={false} maxLength={64} value={account} onChange={(event) => setAccount(event.target.value)} />
        <CommandLine command={createCommand(server, database, account)} />
        {create.error && <InlineError error={create.error} />}
        <DialogButtons>
          <Button onClick={onClose}>{t("common.cancel")}</Button>
          <Button type="submit" look="primary" disabled={!isReady} busy={create.isPending}>
            {t("databases.create.verb")}
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  );
}
