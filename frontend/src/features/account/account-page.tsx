/** My account and security: factors, recovery codes, password, sessions. Everybody's own page. */

import { useQuery } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Page } from "@/components/page";
import { Fact, Facts, Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";

import { PasskeysPanel } from "./passkeys-panel";
import { PasswordPanel } from "./password-panel";
import { RecoveryCodesDialog, RecoveryCodesPanel } from "./recovery-codes";
import { accountQuery } from "./requests";
import { SessionsPanel } from "./sessions-panel";
import { TotpPanel } from "./totp-panel";

export function AccountPage(): ReactNode {
  const { t } = useTranslation();
  const account = useQuery(accountQuery);
  const [codes, setCodes] = useState<readonly string[] | null>(null);
  const show = (fresh: readonly string[] | null): void => {
    if (fresh) setCodes(fresh);
  };
  return (
    <Page title={t("pages.account")}>
      <QueryView query={account} rows={12}>
        {(data) => (
          <div className="grid grid-cols-1 items-start gap-4 lg:grid-cols-2">
            <Panel title={t("account.who")}>
              <Facts>
                <Fact name={t("session.name")}>
                  <Quoted>{data.name}</Quoted>
                </Fact>
                <Fact name={t("users.role")}>{t(`role.${data.role}`)}</Fact>
              </Facts>
            </Panel>
            <PasskeysPanel passkeys={data.passkeys} onCodes={show} />
            <TotpPanel enrolledAt={data.totp?.enrolled_at ?? null} onCodes={show} />
            <RecoveryCodesPanel left={data.recovery_codes_left} hasFactor={data.totp !== null || data.passkeys.length > 0} onCodes={show} />
            <PasswordPanel />
            <div className="lg:col-span-2">
              <SessionsPanel sessions={data.sessions} />
            </div>
          </div>
        )}
      </QueryView>
      {codes && <RecoveryCodesDialog codes={codes} onClose={() => setCodes(null)} />}
    </Page>
  );
}
