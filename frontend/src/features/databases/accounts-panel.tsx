/** Who may do what on a server: accounts with their grants; another password, other rights. */

import { useQuery } from "@tanstack/react-query";
import { KeyRound, ShieldCheck } from "lucide-react";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { IconButton } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { CommandLine } from "@/components/copy";
import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Status } from "@/components/status";
import { Table, type Column } from "@/components/table";
import { useAct } from "@/lib/act";
import { visible } from "@/lib/hostile-text";
import { OPERATIONS } from "@/lib/operations";
import { usePermission } from "@/lib/permission";
import { quoted } from "@/lib/shell";

import { GrantsDialog } from "./grants-dialog";
import { PasswordDialog } from "./password-dialog";
import { accountsQuery, DATABASES, rotatePassword, type DatabaseAccountView, type ServerView, type WithPassword } from "./requests";

interface Asked {
  act: "rotate" | "grants";
  account: DatabaseAccountView;
}

export default function AccountsPanel({ server }: { server: ServerView }): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(accountsQuery(server.name));
  const [asked, setAsked] = useState<Asked | null>(null);
  const close = (): void => setAsked(null);
  return (
    <Panel title={t("databases.tabs.accounts")}>
      <QueryView query={query}>
        {({ accounts }) => (accounts.length === 0 ? <Empty title={t("databases.accounts.empty")} /> : <Accounts server={server.name} accounts={accounts} onAsk={setAsked} />)}
      </QueryView>
      {asked?.act === "rotate" && <RotateDialog server={server.name} account={asked.account} onClose={close} />}
      {asked?.act === "grants" && <GrantsDialog server={server} account={asked.account} onClose={close} />}
    </Panel>
  );
}

function Accounts({ server, accounts, onAsk }: { server: string; accounts: readonly DatabaseAccountView[]; onAsk: (asked: Asked) => void }): ReactNode {
  const { t } = useTranslation();
  const columns: readonly Column<DatabaseAccountView>[] = [
    {
      key: "name",
      head: t("databases.column.account"),
      cell: ({ name, owner, is_locked, has_password, is_protected }) => (
        <>
          <span className="block min-w-36 font-medium sm:min-w-52">
            <Quoted>{name}</Quoted>
          </span>
          <span className="flex flex-wrap gap-x-2 text-xs">
            {owner !== null && <span className="text-muted">{t("databases.accounts.ofSite", { site: visible(owner) })}</span>}
            {is_protected && <span className="text-muted">{t("databases.accounts.protected")}</span>}
            {is_locked && <Status tone="idle">{t("databases.accounts.locked")}</Status>}
            {!has_password && !is_locked && !is_protected && <Status tone="warn">{t("databases.accounts.noPassword")}</Status>}
          </span>
        </>
      ),
    },
    { key: "grants", head: t("databases.accounts.grants"), cell: ({ grants }) => <Grants grants={grants} /> },
    {
      key: "acts",
      head: t("databases.column.acts"),
      align: "right",
      cell: (account) => (
        <span className="flex items-center justify-end">
          <AccountAct act="rotate" account={account} onAsk={onAsk} />
          <AccountAct act="grants" account={account} onAsk={onAsk} />
        </span>
      ),
    },
  ];
  return <Table caption={t("databases.accounts.of", { server })} columns={columns} rows={accounts} rowKey={({ name }) => name} />;
}

const PATTERN = /(?<!\\)[%_]/; // of a grant on whatever is called so; behind a backslash a sign stands for itself

function Grants({ grants }: { grants: DatabaseAccountView["grants"] }): ReactNode {
  const { t } = useTranslation();
  if (grants.length === 0) return <span className="text-muted">{t("databases.accounts.none")}</span>;
  return (
    <ul className="flex min-w-64 flex-col gap-1">
      {grants.map(({ database, matches, privileges, is_grantable }) => (
        <li key={`${database} ${privileges.join(" ")}`}>
          <span className="font-mono text-[0.92em]">
            <Quoted>{database}</Quoted>
          </span>
          {PATTERN.test(database) && <span className="text-xs text-muted"> ({t("databases.accounts.matches", { count: matches.length })})</span>}
          <span className="block text-xs text-muted">
            {privileges.join(", ")}
            {is_grantable && ` · ${t("databases.accounts.grantable")}`}
          </span>
        </li>
      ))}
    </ul>
  );
}

const PERMISSIONS = { rotate: "databases:rotate", grants: "databases:grant" } as const;
const ICONS = { rotate: KeyRound, grants: ShieldCheck } as const;

function AccountAct({ act, account, onAsk }: Asked & { onAsk: (asked: Asked) => void }): ReactNode {
  const { t } = useTranslation();
  const { isPermitted, role } = usePermission(PERMISSIONS[act]);
  const Icon = ICONS[act];
  const label = t(act === "rotate" ? "databases.accounts.rotate" : "databases.accounts.grants_of", { name: visible(account.name) });
  const why = account.is_protected ? t("databases.accounts.protectedWhy") : !isPermitted && role ? t("common.needsRole", { role: t(`role.${role}`) }) : null;
  return (
    <IconButton label={why === null ? label : `${label}: ${why}`} disabled={why !== null} onClick={() => onAsk({ act, account })}>
      <Icon size={15} aria-hidden />
    </IconButton>
  );
}

function RotateDialog({ server, account, onClose }: { server: string; account: DatabaseAccountView; onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const [made, setMade] = useState<WithPassword | null>(null);
  const rotate = useAct(() => rotatePassword(server, account.name), { refreshes: [DATABASES, OPERATIONS], onDone: setMade });
  if (made) return <PasswordDialog title={t("databases.rotate.verb")} made={made} onClose={onClose} />;
  return (
    <Confirm title={t("databases.accounts.rotate", { name: visible(account.name) })} verb={t("databases.rotate.verb")} act={rotate} onConfirm={() => rotate.mutate()} onClose={onClose}>
      <p>{account.owner === null ? t("databases.rotate.effect") : t("databases.rotate.ofSite", { site: visible(account.owner) })}</p>
      <CommandLine command={`homeport db rotate ${server} ${quoted(account.name)}`} />
    </Confirm>
  );
}
