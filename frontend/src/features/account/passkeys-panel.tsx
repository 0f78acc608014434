import { useQuery } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { Dialog, DialogButtons } from "@/components/dialog";
import { TextField } from "@/components/field";
import { Panel } from "@/components/panel";
import { Quoted } from "@/components/quoted";
import { InlineError } from "@/components/states";
import { Time } from "@/components/time";
import { arePasskeysAvailable, makePasskey } from "@/lib/passkey";
import { sessionQuery } from "@/lib/session";
import { useAct } from "@/lib/act";

import { accountQuery, addPasskey, passkeyOptions, removePasskey, type PasskeyView } from "./requests";



const REFRESHES = [accountQuery.queryKey, sessionQuery.queryKey];

export function PasskeysPanel({ passkeys, onCodes }: { passkeys: readonly PasskeyView[]; onCodes: (codes: readonly string[] | null) => void }): ReactNode {
  const { t } = useTranslation();
  const { data: session } = useQuery(sessionQuery);
  const [adding, setAdding] = useState(false);
  const [removed, setRemoved] = useState<PasskeyView | null>(null);
  const remove = useAct(removePasskey, { refreshes: REFRESHES, onDone: () => setRemoved(null) });
  const isPossible = (session?.passkeys_possible ?? false) && arePasskeysAvailable();
  return (
    <Panel title={t("account.passkeys.title")} aside={isPossible && <Button onClick={() => setAdding(true)}>{t("account.passkeys.add")}</Button>}>
      <div className="flex flex-col gap-2 p-3 text-sm">
        {!isPossible && <p className="text-muted">{t("account.passkeys.impossible")}</p>}
        {passkeys.length === 0 && isPossible && <p className="text-muted">{t("account.passkeys.none")}</p>}
        {passkeys.length > 0 && (
          <ul className="flex flex-col divide-y divide-line">
            {passkeys.map((passkey) => (
              <li key={passkey.id} className="flex flex-wrap items-center justify-between gap-2 py-1.5 first:pt-0 last:pb-0">
                <span className="min-w-0">
                  <Quoted>{passkey.name}</Quoted>
                  <span className="block text-xs text-muted">
                    {passkey.last_used_at ? (
                      <>
                        {t("account.lastUsed")} <Time value={passkey.last_used_at} />
                      </>
                    ) : (
                      t("account.neverUsed")
                    )}
                    {" · "}
                    {t(passkey.is_backed_up ? "account.passkeys.backedUp" : "account.passkeys.oneDevice")}
                  </span>
                </span>
                <Button onClick={() => setRemoved(passkey)}>{t("common.remove")}</Button>
              </li>
            ))}
          </ul>
        )}
      </div>
      {adding && (
        <AddPasskey
          onClose={() => setAdding(false)}
          onDone={(codes) => {
            setAdding(false);
            onCodes(codes);
          }}
        />
      )}
      {removed && (
        <Confirm title={t("account.passkeys.removeTitle")} verb={t("common.remove")} act={remove} onConfirm={() => remove.mutate(removed.id)} onClose={() => setRemoved(null)}>
          <p>
            <Quoted>{removed.name}</Quoted>
          </p>
          <p>{t("account.factorRemoval")}</p>
        </Confirm>
      )}
    </Panel>
  );
}

function AddPasskey({ onClose, onDone }: { onClose: () => void; onDone: (codes: readonly string[] | null) => void }): ReactNode {
  const { t } = useTranslation();
  const [name, setName] = useState("");
  const add = useAct(
    async () => {
      const { challenge_id, options } = await passkeyOptions();
      const credential = await makePasskey(options);
      return credential && addPasskey({ challenge_id, credential, name });
    },
    {
      refreshes: REFRESHES,
      onDone: (answer) => {
        if (answer) onDone(answer.recovery_codes);
      },
    },
  );
  return (
    <Dialog title={t("account.passkeys.add")} onClose={onClose}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (!add.isPending) add.mutate();
        }}
      >
        <TextField label={t("account.passkeys.name")} hint={t("account.passkeys.nameHint")} required maxLength={64} value={name} onChange={(event) => setName(event.target.value)} />
        {add.error && <InlineError error={add.error} />}
        <DialogButtons>
          <Button onClick={onClose}>{t("common.cancel")}</Button>
          <Button type="submit" look="primary" busy={add.isPending}>
            {t("account.passkeys.add")}
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  );
}
