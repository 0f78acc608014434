/** Remove a database: what goes, that it is dumped before, and which accounts go with it. */

import { useQuery } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Confirm } from "@/components/confirm";
import { CommandLine } from "@/components/copy";
import { Quoted } from "@/components/quoted";
import { useAct } from "@/lib/act";
import { bytes } from "@/lib/format";
import { visible } from "@/lib/hostile-text";
import { OPERATIONS } from "@/lib/operations";

import { dropCommand } from "./command-lines";
import { accountsQuery, DATABASES, dropDatabase, type DatabaseAccountView, type DatabaseView } from "./requests";

export default function DropDialog({ view, onClose, onBegun }: { view: DatabaseView; onClose: () => void; onBegun: () => void }): ReactNode {
  const { t } = useTranslation();
  const { server, database: summary } = view;
  const { data } = useQuery(accountsQuery(server));
  const [accounts, setAccounts] = useState<readonly string[]>([]);
  const drop = useAct(() => dropDatabase(server, summary.name, summary.name, [...accounts]), { refreshes: [DATABASES, OPERATIONS], onDone: onBegun });
  const candidates = (data?.accounts ?? []).filter((each) => isOnlyFor(each, summary.name));
  return (
    <Confirm title={t("databases.drop.title", { name: visible(summary.name) })} verb={t("databases.drop.verb")} typedName={summary.name} isReady={!summary.owner} act={drop} onConfirm={() => drop.mutate()} onClose={onClose}>
      {summary.owner && <p className="font-medium text-warn">{t("databases.drop.inUse", { site: visible(summary.owner) })}</p>}
      <p>{t("databases.drop.effect", { count: summary.tables, size: bytes(summary.bytes) })}</p>
      <p className="text-muted">{t("databases.drop.dumped")}</p>
      {candidates.length > 0 && (
        <fieldset className="flex flex-col gap-1">
          <legend className="pb-1 font-medium">{t("databases.drop.accounts")}</legend>
          {candidates.map(({ name }) => (
            <label key={name} className="target flex items-center gap-2">
              <input
                type="checkbox"
                className="size-4 accent-accent"
                checked={accounts.includes(name)}
                onChange={(event) => setAccounts(event.target.checked ? [...accounts, name] : accounts.filter((each) => each !== name))}
              />
              <Quoted mono>{name}</Quoted>
            </label>
          ))}
        </fieldset>
      )}
      <CommandLine command={dropCommand(server, summary.name, accounts)} />
    </Confirm>
  );
}

/** An account that can go with the database: nobody's but this one's. */
function isOnlyFor({ is_protected, owner, grants }: DatabaseAccountView, database: string): boolean {
  return !is_protected && owner === null && grants.length > 0 && grants.every(({ matches }) => matches.length === 1 && matches[0] === database);
}
