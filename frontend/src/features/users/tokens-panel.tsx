import { useQuery } from "@tanstack/react-query";
import { KeyRound } from "lucide-react";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { Dialog, DialogButtons } from "@/components/dialog";
import { SelectField, TextField } from "@/components/field";
import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty, InlineError } from "@/components/states";
import { Status } from "@/components/status";
import { Table, type Column } from "@/components/table";
import { Time } from "@/components/time";
import { useActName } from "@/lib/act-name";
import { usePermission } from "@/lib/permission";
import { policyQuery } from "@/lib/session";
import { useAct } from "@/lib/act";

import { createToken, deleteToken, tokensQuery, type TokenView } from "./requests";
import { SecretDialog } from "./secret-dialog";

const REFRESHES = [tokensQuery.queryKey];
const DAYS = [7, 30, 90, 365] as const;

export function TokensPanel(): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(tokensQuery);
  const mayCreate = usePermission("tokens:create").isPermitted;
  const mayDelete = usePermission("tokens:delete").isPermitted;
  const [isCreating, setCreating] = useState(false);
  const [secret, setSecret] = useState<string | null>(null);
  const [revoked, setRevoked] = useState<TokenView | null>(null);
  const revoke = useAct(deleteToken, { refreshes: REFRESHES, onDone: () => setRevoked(null) });
  const columns: readonly Column<TokenView>[] = [
    { key: "name", head: t("tokens.name"), cell: ({ name }) => <Quoted>{name}</Quoted> },
    {
      key: "scopes",
      head: t("tokens.scopes"),
      cell: ({ scopes }) => (
        <ul className="max-h-24 overflow-y-auto font-mono text-[0.92em]">
          {scopes.map(({ act, resource }) => (
            <li key={`${act} ${resource}`}>
              {act} <Quoted>{resource}</Quoted>
            </li>
          ))}
        </ul>
      ),
      spare: "md",
    },
    { key: "owner", head: t("tokens.owner"), cell: ({ owner }) => <Quoted>{owner}</Quoted>, spare: "lg" },
    {
      key: "expires",
      head: t("tokens.expires"),
      cell: ({ expires_at, is_usable }) => (is_usable ? <Time value={expires_at} /> : <Status tone="idle">{t("tokens.unusable")}</Status>),
    },
    {
      key: "used",
      head: t("tokens.lastUse"),
      cell: ({ last_used_at, last_used_source }) =>
        last_used_at ? (
          <>
            <Time value={last_used_at} />
            {last_used_source && (
              <span className="block text-xs text-muted">
                <Quoted mono>{last_used_source}</Quoted>
              </span>
            )}
          </>
        ) : (
          t("account.neverUsed")
        ),
      spare: "md",
    },
    {
      key: "acts",
      head: "",
      align: "right",
      cell: (token) => (
        <Button disabled={!mayDelete} onClick={() => setRevoked(token)}>
          {t("tokens.revoke")}
        </Button>
      ),
    },
  ];
  const create = (
    <Button disabled={!mayCreate} onClick={() => setCreating(true)}>
      <KeyRound size={14} aria-hidden />
      {t("tokens.create")}
    </Button>
  );
  return (
    <Panel title={t("users.tabs.tokens")} aside={create}>
      <QueryView query={query}>
        {({ tokens }) =>
          tokens.length === 0 ? (
            <Empty title={t("tokens.empty")} command="homeport containers list --url URL">
              {t("tokens.emptyWhy")}
            </Empty>
          ) : (
            <Table caption={t("users.tabs.tokens")} columns={columns} rows={tokens} rowKey={({ id }) => id} />
          )
        }
      </QueryView>
      {isCreating && (
        <CreateToken
          onClose={() => setCreating(false)}
          onDone={(created) => {
            setCreating(false);
            setSecret(created);
          }}
        />
      )}
      {secret && <SecretDialog title={t("tokens.created")} about={t("tokens.createdAbout")} secret={secret} onClose={() => setSecret(null)} />}
      {revoked && (
        <Confirm title={t("tokens.revokeTitle")} verb={t("tokens.revoke")} act={revoke} onConfirm={() => revoke.mutate(revoked.id)} onClose={() => setRevoked(null)}>
          <p>
            <Quoted>{revoked.name}</Quoted>
          </p>
          <p>{t("tokens.revokeEffect")}</p>
        </Confirm>
      )}
    </Panel>
  );
}

function CreateToken({ onClose, onDone }: { onClose: () => void; onDone: (secret: string) => void }): ReactNode {
  const { t } = useTranslation();
  const actName = useActName();
  const { data: policy } = useQuery(policyQuery);
  const offered = policy?.acts.filter(({ is_token_allowed, is_permitted }) => is_token_allowed && is_permitted) ?? [];
  const [name, setName] = useState("");
  const [days, setDays] = useState<number>(30);
  const [resource, setResource] = useState("*");
  const [chosen, setChosen] = useState<ReadonlySet<string> | null>(null);
  const acts = chosen ?? new Set(offered.filter(({ kind }) => kind === "read").map(({ name: act }) => act)); // read-only first
  const create = useAct(() => createToken({ name, expires_in_days: days, scopes: [...acts].map((act) => ({ act, resource })) }), {
    refreshes: REFRESHES,
    onDone: ({ secret }) => onDone(secret),
  });
  return (
    <Dialog title={t("tokens.create")} onClose={onClose} wide>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (!create.isPending && acts.size > 0) create.mutate();
        }}
      >
        <TextField label={t("tokens.name")} hint={t("tokens.nameHint")} required maxLength={64} value={name} onChange={(event) => setName(event.target.value)} />
        <div className="grid gap-4 sm:grid-cols-2">
          <SelectField label={t("tokens.lifetime")} value={days} onChange={(event) => setDays(Number(event.target.value))}>
            {DAYS.map((each) => (
              <option key={each} value={each}>
                {t("tokens.days", { count: each })}
              </option>
            ))}
          </SelectField>
          <TextField label={t("tokens.resource")} hint={t("tokens.resourceHint")} required value={resource} onChange={(event) => setResource(event.target.value)} />
        </div>
        <fieldset className="flex flex-col gap-1">
          <legend className="pb-1 text-sm font-medium">{t("tokens.scopes")}</legend>
          <div className="grid max-h-56 gap-x-4 overflow-y-auto rounded border border-line p-2 sm:grid-cols-2">
            {offered.map(({ name: act }) => (
              <label key={act} className="target flex items-center gap-2 text-sm">
                <input
                  type="checkbox"
                  className="size-4 accent-accent"
                  checked={acts.has(act)}
                  onChange={(event) => {
                    const next = new Set(acts);
                    if (event.target.checked) next.add(act);
                    else next.delete(act);
                    setChosen(next);
                  }}
                />
                {actName(act)}
              </label>
            ))}
          </div>
          <p className="text-xs text-muted">{t("tokens.scopesHint")}</p>
        </fieldset>
        {create.error && <InlineError error={create.error} />}
        <DialogButtons>
          <Button onClick={onClose}>{t("common.cancel")}</Button>
          <Button type="submit" look="primary" busy={create.isPending} disabled={acts.size === 0}>
            {t("tokens.create")}
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  );
}
