import { useMutation, useQueryClient } from "@tanstack/react-query";
import { KeyRound } from "lucide-react";
import { useRef, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { Dialog, DialogButtons } from "@/components/dialog";
import { TextField } from "@/components/field";
import { InlineError } from "@/components/states";

import { arePasskeysAvailable, askForPasskey } from "@/lib/passkey";
import { sessionQuery, type Factor } from "@/lib/session";

import { passkeyStepUpOptions, stepUp, type Proof } from "./requests";

export default function StepUpDialog({ factors, onAnswer }: { factors: readonly Factor[]; onAnswer: (isProved: boolean) => void }): ReactNode {
  const { t } = useTranslation();
  const client = useQueryClient();
  const field = useRef<HTMLInputElement>(null);
  const [value, setValue] = useState("");
  const typed = factors.includes("totp") ? "totp" : factors.includes("password") ? "password" : null;
  const hasPasskey = factors.includes("passkey") && arePasskeysAvailable();
  const prove = useMutation({
    mutationFn: async (proof: "passkey" | Proof) => {
      if (proof !== "passkey") return stepUp(proof);
      const { challenge_id, options } = await passkeyStepUpOptions();
      const credential = await askForPasskey(options);
      return credential && stepUp({ challenge_id, credential });
    },
    onSuccess: (session) => {
      if (!session) return;
      client.setQueryData(sessionQuery.queryKey, session);
      onAnswer(true);
    },
    onError: () => {
      setValue("");
      field.current?.focus();
    },
  });
  return (
    <Dialog title={t("stepUp.title")} onClose={() => onAnswer(false)} initialFocus={field}>
      <p className="text-sm text-muted">{t("stepUp.why")}</p>
      {hasPasskey && (
        <Button look={typed ? "plain" : "primary"} busy={prove.isPending} onClick={() => prove.mutate("passkey")}>
          <KeyRound size={16} aria-hidden />
          {t("session.usePasskey")}
        </Button>
      )}
      <form
        className="flex flex-col gap-3"
        onSubmit={(event) => {
          event.preventDefault();
          if (typed && !prove.isPending) prove.mutate(typed === "totp" ? { totp: value } : { password: value });
        }}
      >
        {typed === "totp" && (
          <TextField ref={field} label={t("session.totpCode")} inputMode="numeric" autoComplete="one-time-code" required value={value} onChange={(event) => setValue(event.target.value)} />
        )}
        {typed === "password" && (
          <TextField ref={field} label={t("session.password")} type="password" autoComplete="current-password" required value={value} onChange={(event) => setValue(event.target.value)} />
        )}
        {prove.isError && <InlineError error={prove.error} />}
        <DialogButtons>
          <Button onClick={() => onAnswer(false)}>{t("common.cancel")}</Button>
          {typed && (
            <Button type="submit" look="primary" busy={prove.isPending}>
              {t("stepUp.confirm")}
            </Button>
          )}
        </DialogButtons>
      </form>
    </Dialog>
  );
}
