/** What an account may do in one database from now on: exactly what is ticked. */

import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { Dialog, DialogButtons } from "@/components/dialog";
import { SelectField } from "@/components/field";
import { InlineError } from "@/components/states";
import { useAct } from "@/lib/act";
import { visible } from "@/lib/hostile-text";
import { OPERATIONS } from "@/lib/operations";

import { grantCommand } from "./command-lines";
import { changeGrants, DATABASES, type DatabaseAccountView, type Privilege, type ServerView } from "./requests";

const GROUPS: readonly (readonly ["rows" | "structure" | "code", readonly Privilege[]])[] = [
  ["rows", ["SELECT", "INSERT", "UPDATE", "DELETE", "LOCK TABLES", "DELETE HISTORY"]],
  ["structure", ["CREATE", "DROP", "ALTER", "INDEX", "REFERENCES", "CREATE TEMPORARY TABLES", "CREATE VIEW", "SHOW VIEW"]],
  ["code", ["TRIGGER", "EVENT", "CREATE ROUTINE", "ALTER ROUTINE", "EXECUTE"]],
];
const ALL = GROUPS.flatMap(([, privileges]) => privileges);

export function GrantsDialog({ server, account, onClose }: { server: ServerView; account: DatabaseAccountView; onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const opened = account.grants.flatMap(({ matches }) => matches); // read just now; the server's own list may be a little older
  const databases = [...new Set([...(server.seen?.databases ?? []).map(({ name }) => name), ...opened])];
  const [database, setDatabase] = useState(opened[0] ?? databases[0] ?? "");
  const [changed, setChanged] = useState<ReadonlySet<Privilege> | null>(null);
  const chosen = changed ?? new Set(nowIn(account, database));
  const change = useAct(() => changeGrants(server.name, account.name, database, ALL.filter((each) => chosen.has(each))), { refreshes: [DATABASES, OPERATIONS], onDone: onClose });
  const toggle = (privilege: Privilege, isOn: boolean): void => {
    const next = new Set(chosen);
    if (isOn) next.add(privilege);
    else next.delete(privilege);
    setChanged(next);
  };
  return (
    <Dialog title={t("databases.accounts.grants_of", { name: visible(account.name) })} onClose={onClose} wide>
      <form
        className="flex flex-col gap-4 text-sm"
        onSubmit={(event) => {
          event.preventDefault();
          if (database !== "" && changed !== null && !change.isPending) change.mutate();
        }}
      >
        <SelectField
          label={t("databases.column.database")}
          value={database}
          onChange={(event) => {
            setDatabase(event.target.value);
            setChanged(null);
          }}
        >
          {databases.map((each) => (
            <option key={each} value={each}>
              {visible(each)}
            </option>
          ))}
        </SelectField>
        {GROUPS.map(([group, privileges]) => (
          <fieldset key={group} className="flex flex-col gap-1.5">
            <legend className="pb-1 font-medium">{t(`databases.privileges.${group}`)}</legend>
            <div className="grid gap-x-4 gap-y-1 sm:grid-cols-2">
              {privileges.map((each) => (
                <label key={each} className="target flex items-center gap-2">
                  <input type="checkbox" className="size-4 accent-accent" checked={chosen.has(each)} onChange={(event) => toggle(each, event.target.checked)} />
                  <code className="font-mono text-xs">{each}</code>
                </label>
              ))}
            </div>
          </fieldset>
        ))}
        {chosen.size === 0 && <p className="text-warn">{t("databases.privileges.nothing")}</p>}
        <CommandLine command={grantCommand(server.name, database, account.name, ALL.filter((each) => chosen.has(each)))} />
        {change.error && <InlineError error={change.error} />}
        <DialogButtons>
          <Button onClick={onClose}>{t("common.cancel")}</Button>
          <Button type="submit" look="primary" disabled={database === "" || changed === null} busy={change.isPending}>
            {t("common.change")}
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  );
}

/** What the account may do in a database now, by whichever of its grants opens it. */
function nowIn({ grants }: DatabaseAccountView, database: string): Privilege[] {
  const names = new Set(grants.filter(({ matches }) => matches.includes(database)).flatMap(({ privileges }) => privileges));
  return names.has("ALL PRIVILEGES") || names.has("ALL") ? [...ALL] : ALL.filter((each) => names.has(each));
}
