/**
 * Set-up and invitation: a one-time token from the link's fragment, which never reaches a server log, and a password.
 * The fragment is taken out of the address as soon as it has been read.
 */

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { TextField } from "@/components/field";
import { InlineError } from "@/components/states";

import { Entrance } from "./entrance";
import { sessionQuery } from "@/lib/session";

import { acceptInvitation, setUp } from "./requests";

let lastToken = ""; // the page may be made anew after the address has lost it

function tokenFromAddress(): string {
  lastToken = location.hash.slice(1) || lastToken;
  return lastToken;
}

export default function FirstPasswordPage({ occasion }: { occasion: "setup" | "invitation" }): ReactNode {
  const { t } = useTranslation();
  const client = useQueryClient();
  const navigate = useNavigate();
  const [given] = useState(tokenFromAddress);
  const [token, setToken] = useState(given);
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  useEffect(() => {
    if (location.hash) void navigate({ to: ".", hash: "", replace: true });
  }, [navigate]);
  const differs = again !== "" && !password.startsWith(again) && again !== password;
  const submit = useMutation({
    mutationFn: () => (occasion === "setup" ? setUp({ token, name, password }) : acceptInvitation({ token, password })),
    onSuccess: (session) => {
      client.setQueryData(sessionQuery.queryKey, session);
      void navigate({ to: "/", replace: true });
    },
  });
  return (
    <Entrance title={t(`session.${occasion}.title`)} lead={t(`session.${occasion}.lead`)}>
      <form
        className="flex flex-col gap-3"
        onSubmit={(event) => {
          event.preventDefault();
          if (password === again && !submit.isPending) submit.mutate();
        }}
      >
        {!given && (
          <TextField label={t("session.token")} hint={t(`session.${occasion}.tokenHint`)} required value={token} onChange={(event) => setToken(event.target.value.trim())} />
        )}
        {occasion === "setup" && (
          <TextField label={t("session.name")} autoComplete="username" autoCapitalize="none" required maxLength={64} value={name} onChange={(event) => setName(event.target.value)} />
        )}
        <TextField label={t("session.newPassword")} hint={t("session.passwordHint")} type="password" autoComplete="new-password" required value={password} onChange={(event) => setPassword(event.target.value)} />
        <TextField
          label={t("session.again")}
          type="password"
          autoComplete="new-password"
          required
          value={again}
          onChange={(event) => setAgain(event.target.value)}
          error={differs ? t("session.differs") : null}
        />
        {submit.isError && <InlineError error={submit.error} />}
        <Button type="submit" look="primary" busy={submit.isPending} disabled={again !== password}>
          {t(`session.${occasion}.submit`)}
        </Button>
      </form>
    </Entrance>
  );
}
