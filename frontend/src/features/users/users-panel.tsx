import { useQuery } from "@tanstack/react-query";
import { UserPlus } from "lucide-react";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { Dialog, DialogButtons } from "@/components/dialog";
import { SelectField, TextField } from "@/components/field";
import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { InlineError } from "@/components/states";
import { Status } from "@/components/status";
import { Table, type Column } from "@/components/table";
import { Time } from "@/components/time";
import { usePermission } from "@/lib/permission";
import { sessionQuery } from "@/lib/session";
import { useAct } from "@/lib/act";
import { visible } from "@/lib/hostile-text";

import { changeUser, deleteUser, endUserSessions, inviteUser, resetUser, ROLES, usersQuery, type Role, type UserView } from "./requests";
import { SecretDialog } from "./secret-dialog";

const REFRESHES = [usersQuery.queryKey];

export function UsersPanel(): ReactNode {
  const { t, i18n } = useTranslation();
  const query = useQuery(usersQuery);
  const { data: session } = useQuery(sessionQuery);
  const mayCreate = usePermission("users:create").isPermitted;
  const mayChange = usePermission("users:change").isPermitted;
  const [isInviting, setInviting] = useState(false);
  const [changed, setChanged] = useState<string | null>(null); // by id: the dialog shows the user as they are now
  const [link, setLink] = useState<string | null>(null);
  const columns: readonly Column<UserView>[] = [
    {
      key: "name",
      head: t("session.name"),
      cell: ({ id, name }) => (
        <>
          <Quoted>{name}</Quoted>
          {id === session?.user?.id && <span className="text-muted"> · {t("users.you")}</span>}
        </>
      ),
    },
    { key: "role", head: t("users.role"), cell: ({ role }) => t(`role.${role}`) },
    { key: "state", head: t("users.state"), cell: ({ is_disabled }) => <Status tone={is_disabled ? "idle" : "good"}>{t(is_disabled ? "users.disabled" : "users.enabled")}</Status> },
    {
      key: "factors",
      head: t("users.factors"),
      cell: ({ factors }) => factors.map((factor) => (i18n.exists(`factor.${factor}`) ? t(`factor.${factor as "totp"}`) : factor)).join(", ") || t("users.invited"),
      spare: "md",
    },
    { key: "sessions", head: t("users.sessions"), align: "right", cell: ({ open_sessions }) => open_sessions, spare: "lg" },
    { key: "login", head: t("users.lastLogin"), cell: ({ last_login_at }) => (last_login_at ? <Time value={last_login_at} /> : "–"), spare: "md" },
    {
      key: "acts",
      head: "",
      align: "right",
      cell: ({ id, name }) =>
        id !== session?.user?.id && (
          <Button disabled={!mayChange} aria-label={t("users.changeOf", { name: visible(name) })} onClick={() => setChanged(id)}>
            {t("common.change")}
          </Button>
        ),
    },
  ];
  const user = query.data?.users.find(({ id }) => id === changed);
  return (
    <Panel
      title={t("users.tabs.users")}
      aside={
        <Button disabled={!mayCreate} onClick={() => setInviting(true)}>
          <UserPlus size={14} aria-hidden />
          {t("users.invite")}
        </Button>
      }
    >
      <QueryView query={query}>{({ users }) => <Table caption={t("users.tabs.users")} columns={columns} rows={users} rowKey={({ id }) => id} />}</QueryView>
      {isInviting && (
        <Invite
          onClose={() => setInviting(false)}
          onDone={(invitation) => {
            setInviting(false);
            setLink(invitation);
          }}
        />
      )}
      {user && (
        <ChangeUser
          user={user}
          onClose={() => setChanged(null)}
          onLink={(invitation) => {
            setChanged(null);
            setLink(invitation);
          }}
        />
      )}
      {link && <SecretDialog title={t("users.invitation")} about={t("users.invitationAbout")} secret={link} onClose={() => setLink(null)} />}
    </Panel>
  );
}

function RoleField({ value, onChange }: { value: Role; onChange: (role: Role) => void }): ReactNode {
  const { t } = useTranslation();
  return (
    <SelectField label={t("users.role")} hint={t(`roleHint.${value}`)} value={value} onChange={(event) => onChange(event.target.value as Role)}>
      {ROLES.map((role) => (
        <option key={role} value={role}>
          {t(`role.${role}`)}
        </option>
      ))}
    </SelectField>
  );
}

function Invite({ onClose, onDone }: { onClose: () => void; onDone: (invitation: string) => void }): ReactNode {
  const { t } = useTranslation();
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const invite = useAct(() => inviteUser({ name, role }), { refreshes: REFRESHES, onDone: ({ invitation }) => onDone(invitation) });
  return (
    <Dialog title={t("users.invite")} onClose={onClose}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (!invite.isPending) invite.mutate();
        }}
      >
        <TextField label={t("session.name")} autoCapitalize="none" required maxLength={64} value={name} onChange={(event) => setName(event.target.value)} />
        <RoleField value={role} onChange={setRole} />
        {invite.error && <InlineError error={invite.error} />}
        <DialogButtons>
          <Button onClick={onClose}>{t("common.cancel")}</Button>
          <Button type="submit" look="primary" busy={invite.isPending}>
            {t("users.invite")}
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  );
}

function ChangeUser({ user, onClose, onLink }: { user: UserView; onClose: () => void; onLink: (invitation: string) => void }): ReactNode {
  const { t } = useTranslation();
  const { needsTypedName } = usePermission("users:delete");
  const [role, setRole] = useState<Role>(user.role);
  const [isDeleting, setDeleting] = useState(false);
  const change = useAct(changeUser, { refreshes: REFRESHES });
  const reset = useAct(() => resetUser(user.id), { refreshes: REFRESHES, onDone: ({ invitation }) => onLink(invitation) });
  const endSessions = useAct(() => endUserSessions(user.id), { refreshes: REFRESHES });
  const remove = useAct(() => deleteUser(user), { refreshes: REFRESHES, onDone: onClose });
  const error = change.error ?? reset.error ?? endSessions.error;
  if (isDeleting) {
    return (
      <Confirm
        title={t("users.deleteTitle", { name: visible(user.name) })}
        verb={t("common.delete")}
        typedName={needsTypedName() ? user.name : null}
        act={remove}
        onConfirm={() => remove.mutate()}
        onClose={onClose}
      >
        <p>{t("users.deleteEffect")}</p>
      </Confirm>
    );
  }
  return (
    <Dialog title={t("users.changeOf", { name: visible(user.name) })} onClose={onClose}>
      <form
        className="flex items-end gap-2"
        onSubmit={(event) => {
          event.preventDefault();
          if (!change.isPending) change.mutate({ user_id: user.id, role });
        }}
      >
        <div className="flex-1">
          <RoleField value={role} onChange={setRole} />
        </div>
        <Button type="submit" look="primary" busy={change.isPending} disabled={role === user.role} className="self-center">
          {t("common.save")}
        </Button>
      </form>
      {error && <InlineError error={error} />}
      <ul className="flex flex-col divide-y divide-line border-t border-line text-sm">
        <Choice about={t(user.is_disabled ? "users.enableEffect" : "users.disableEffect")}>
          <Button busy={change.isPending} onClick={() => change.mutate({ user_id: user.id, is_disabled: !user.is_disabled })}>
            {t(user.is_disabled ? "users.enable" : "users.disable")}
          </Button>
        </Choice>
        <Choice about={t("users.endSessionsEffect", { count: user.open_sessions })}>
          <Button disabled={user.open_sessions === 0} busy={endSessions.isPending} onClick={() => endSessions.mutate()}>
            {t("users.endSessions")}
          </Button>
        </Choice>
        <Choice about={t("users.resetEffect")}>
          <Button busy={reset.isPending} onClick={() => reset.mutate()}>
            {t("users.reset")}
          </Button>
        </Choice>
        <Choice about={t("users.deleteEffect")}>
          <Button onClick={() => setDeleting(true)}>{t("common.delete")}</Button>
        </Choice>
      </ul>
      <DialogButtons>
        <Button onClick={onClose}>{t("common.close")}</Button>
      </DialogButtons>
    </Dialog>
  );
}

function Choice({ about, children }: { about: string; children: ReactNode }): ReactNode {
  return (
    <li className="flex flex-wrap items-center justify-between gap-x-4 gap-y-1 py-2">
      <span className="flex-1 basis-56 text-muted">{about}</span>
      {children}
    </li>
  );
}
