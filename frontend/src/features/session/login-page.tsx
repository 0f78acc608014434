/** Login: passkey first where there can be one, else name and password, then a second factor where one is set up. */

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { KeyRound } from "lucide-react";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { TextField } from "@/components/field";
import { InlineError } from "@/components/states";
import { arePasskeysAvailable, askForPasskey } from "@/lib/passkey";
import { isProblem } from "@/lib/problem";
import { sessionQuery, type SessionView } from "@/lib/session";

import { Entrance } from "./entrance";
import {
  login,
  loginWithPasskey,
  loginWithRecoveryCode,
  loginWithTotp,
  passkeyLoginOptions,
  type SecondFactorView,
} from "./requests";

export default function LoginPage({ session }: { session: SessionView }): ReactNode {
  const { t } = useTranslation();
  const client = useQueryClient();
  const [second, setSecond] = useState<SecondFactorView | null>(null);
  const enter = (next: SessionView): void => {
    client.setQueryData(sessionQuery.queryKey, next);
  };
  const canUsePasskey = session.passkeys_possible && arePasskeysAvailable();
  return (
    <Entrance title={t("session.login.title")} lead={second ? t("session.login.second") : undefined}>
      {second ? (
        <SecondFactor asked={second} canUsePasskey={canUsePasskey} onEntered={enter} onBack={() => setSecond(null)} />
      ) : (
        <FirstFactor canUsePasskey={canUsePasskey} onEntered={enter} onSecondFactor={setSecond} />
      )}
    </Entrance>
  );
}

function PasskeyButton({ onEntered }: { onEntered: (session: SessionView) => void }): ReactNode {
  const { t } = useTranslation();
  const passkey = useMutation({
    mutationFn: async () => {
      const { challenge_id, options } = await passkeyLoginOptions();
      const credential = await askForPasskey(options);
      return credential && loginWithPasskey({ challenge_id, credential });
    },
    onSuccess: (session) => {
      if (session) onEntered(session);
    },
  });
  return (
    <>
      <Button busy={passkey.isPending} onClick={() => passkey.mutate()}>
        <KeyRound size={16} aria-hidden />
        {t("session.usePasskey")}
      </Button>
      {passkey.isError && <InlineError error={passkey.error} />}
    </>
  );
}

function FirstFactor({
  canUsePasskey,
  onEntered,
  onSecondFactor,
}: {
  canUsePasskey: boolean;
  onEntered: (session: SessionView) => void;
  onSecondFactor: (asked: SecondFactorView) => void;
}): ReactNode {
  const { t } = useTranslation();
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const submit = useMutation({
    mutationFn: () => login({ name, password }),
    onSuccess: (answer) => {
      if ("login" in answer) onSecondFactor(answer);
      else onEntered(answer);
    },
    onError: () => setPassword(""),
  });
  return (
    <>
      {canUsePasskey && (
        <>
          <PasskeyButton onEntered={onEntered} />
          <p className="flex items-center gap-3 text-xs text-muted before:h-px before:flex-1 before:bg-line after:h-px after:flex-1 after:bg-line">{t("session.or")}</p>
        </>
      )}
      <form
        className="flex flex-col gap-3"
        onSubmit={(event) => {
          event.preventDefault();
          if (!submit.isPending) submit.mutate();
        }}
      >
        <TextField label={t("session.name")} autoComplete="username" autoCapitalize="none" required value={name} onChange={(event) => setName(event.target.value)} />
        <TextField label={t("session.password")} type="password" autoComplete="current-password" required value={password} onChange={(event) => setPassword(event.target.value)} />
        {submit.isError && <InlineError error={submit.error} />}
        <Button type="submit" look="primary" busy={submit.isPending}>
          {t("session.login.submit")}
        </Button>
      </form>
    </>
  );
}

function SecondFactor({
  asked,
  canUsePasskey,
  onEntered,
  onBack,
}: {
  asked: SecondFactorView;
  canUsePasskey: boolean;
  onEntered: (session: SessionView) => void;
  onBack: () => void;
}): ReactNode {
  const { t } = useTranslation();
  const [kind, setKind] = useState<"totp" | "recovery-code">(asked.factors.includes("totp") ? "totp" : "recovery-code");
  const [code, setCode] = useState("");
  const submit = useMutation({
    mutationFn: () => (kind === "totp" ? loginWithTotp({ login: asked.login, code }) : loginWithRecoveryCode({ login: asked.login, code })),
    onSuccess: onEntered,
    onError: () => setCode(""),
  });
  if (isProblem(submit.error, "login-expired")) {
    return (
      <>
        <InlineError error={submit.error} />
        <Button onClick={onBack}>{t("session.login.startOver")}</Button>
      </>
    );
  }
  const other = kind === "totp" ? "recovery-code" : "totp";
  return (
    <>
      {canUsePasskey && asked.factors.includes("passkey") && <PasskeyButton onEntered={onEntered} />}
      <form
        className="flex flex-col gap-3"
        onSubmit={(event) => {
          event.preventDefault();
          if (!submit.isPending) submit.mutate();
        }}
      >
        <TextField
          key={kind}
          label={kind === "totp" ? t("session.totpCode") : t("session.recoveryCode")}
          inputMode={kind === "totp" ? "numeric" : "text"}
          autoComplete={kind === "totp" ? "one-time-code" : "off"}
          // oxlint-disable-next-line jsx-a11y/no-autofocus -- the step the user has just asked for has this one field
          autoFocus
          required
          value={code}
          onChange={(event) => setCode(event.target.value)}
        />
        {submit.isError && <InlineError error={submit.error} />}
        <Button type="submit" look="primary" busy={submit.isPending}>
          {t("session.login.submit")}
        </Button>
      </form>
      <div className="flex flex-wrap justify-between gap-2">
        <Button look="quiet" onClick={onBack}>
          {t("session.login.startOver")}
        </Button>
        {asked.factors.includes(other) && (
          <Button
            look="quiet"
            onClick={() => {
              setKind(other);
              setCode("");
              submit.reset();
            }}
          >
            {t(other === "totp" ? "session.login.useTotp" : "session.login.useRecoveryCode")}
          </Button>
        )}
      </div>
    </>
  );
}
