/** Users of a site. One gets another password, which is shown this once and kept nowhere. */

import { useNavigate } from "@tanstack/react-router";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { CommandLine, CopyButton } from "@/components/copy";
import { Dialog, DialogButtons } from "@/components/dialog";
import { Fact, Facts, Panel } from "@/components/panel";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Table } from "@/components/table";
import { Time } from "@/components/time";
import { useAct } from "@/lib/act";
import { visible } from "@/lib/hostile-text";
import { OPERATIONS } from "@/lib/operations";
import { usePermission } from "@/lib/permission";

import { follow } from "./follow";
import { renewSalts, resetPassword, type NewPassword, type SiteView } from "./requests";

export default function UsersPanel({ site }: { site: SiteView }): ReactNode {
  const { t } = useTranslation();
  const { isPermitted, role } = usePermission("wordpress:password");
  const [asked, setAsked] = useState<string | null>(null);
  const [made, setMade] = useState<NewPassword | null>(null);
  const [isEnding, setEnding] = useState(false);
  const why = isPermitted || !role ? undefined : t("common.needsRole", { role: t(`role.${role}`) });
  const more = (site.users_total ?? 0) - site.users.length;
  return (
    <Panel
      title={t("wordpress.tab.users")}
      aside={
        <Button disabled={!isPermitted || site.state !== "active"} title={why} onClick={() => setEnding(true)}>
          {t("wordpress.user.endLogins")}
        </Button>
      }
    >
      {site.users.length === 0 ? (
        <Empty title={t("wordpress.nothingKnown")} />
      ) : (
        <Table
          caption={t("wordpress.tab.users")}
          rows={site.users}
          rowKey={({ id }) => id}
          columns={[
            {
              key: "login",
              head: t("wordpress.user.login"),
              cell: ({ login, name }) => (
                <span className="flex flex-col">
                  <span className="font-medium">
                    <Quoted>{login}</Quoted>
                  </span>
                  {name && name !== login && (
                    <span className="text-xs text-muted">
                      <Quoted>{name}</Quoted>
                    </span>
                  )}
                </span>
              ),
            },
            { key: "roles", head: t("wordpress.user.roles"), cell: ({ roles = [] }) => <Quoted>{roles.join(", ")}</Quoted> },
            { key: "registered", head: t("wordpress.user.registered"), spare: "md", cell: ({ registered_at }) => (registered_at ? <Time value={registered_at} /> : "–") },
            { key: "seen", head: t("wordpress.user.lastLogin"), spare: "md", cell: ({ last_login_at }) => (last_login_at ? <Time value={last_login_at} /> : "–") },
            {
              key: "acts",
              head: "",
              align: "right",
              cell: ({ login }) => (
                <Button disabled={!isPermitted || site.state !== "active"} title={why} aria-label={t("wordpress.actOn", { act: t("wordpress.user.reset"), name: visible(login) })} onClick={() => setAsked(login)}>
                  {t("wordpress.user.reset")}
                </Button>
              ),
            },
          ]}
        />
      )}
      {more > 0 && <p className="p-3 text-sm text-muted">{t("wordpress.user.more", { count: more })}</p>}
      {isEnding && <EndLogins site={site.name} onClose={() => setEnding(false)} />}
      {asked !== null && <Reset site={site.name} login={asked} onMade={setMade} onClose={() => setAsked(null)} />}
      {made && (
        <Dialog title={t("wordpress.user.newPassword")} onClose={() => setMade(null)}>
          <p className="text-sm">{t("wordpress.user.once")}</p>
          <div className="rounded border border-line bg-sunken">
            <Facts>
              <Fact name={t("wordpress.user.login")}>
                <Quoted mono>{made.login}</Quoted>
              </Fact>
              <Fact name={t("session.password")}>
                <span className="flex items-center gap-1">
                  <code className="min-w-0 font-mono text-[0.92em] [overflow-wrap:anywhere]">{made.password}</code>
                  <CopyButton text={made.password} label={t("wordpress.user.copy")} />
                </span>
              </Fact>
            </Facts>
          </div>
          <DialogButtons>
            <Button look="primary" onClick={() => setMade(null)}>
              {t("wordpress.user.kept")}
            </Button>
          </DialogButtons>
        </Dialog>
      )}
    </Panel>
  );
}

function EndLogins({ site, onClose }: { site: string; onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const renew = useAct(() => renewSalts(site), { refreshes: [OPERATIONS], onDone: follow(navigate) });
  return (
    <Confirm title={t("wordpress.user.endLogins")} verb={t("wordpress.user.endLogins")} act={renew} onConfirm={() => renew.mutate()} onClose={onClose}>
      <p>{t("wordpress.user.endLoginsEffect")}</p>
      <CommandLine command={`homeport wordpress salts ${site}`} />
    </Confirm>
  );
}

function Reset({ site, login, onMade, onClose }: { site: string; login: string; onMade: (made: NewPassword) => void; onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const reset = useAct(() => resetPassword(site, login), {
    onDone: (made) => {
      onClose();
      onMade(made);
    },
  });
  return (
    <Confirm title={t("wordpress.actOn", { act: t("wordpress.user.reset"), name: visible(login) })} verb={t("wordpress.user.reset")} act={reset} onConfirm={() => reset.mutate()} onClose={onClose}>
      <p>{t("wordpress.user.resetEffect")}</p>
      <CommandLine command={`homeport wordpress password ${site} ${visible(login)}`} />
    </Confirm>
  );
}
