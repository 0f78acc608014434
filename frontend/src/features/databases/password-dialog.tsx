/** A password that is shown once. It goes nowhere from here: whoever closes this has kept it, or makes another. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CopyButton } from "@/components/copy";
import { Dialog, DialogButtons } from "@/components/dialog";
import { OperationStatus } from "@/components/operation-status";
import { Fact, Facts } from "@/components/panel";
import { Quoted } from "@/components/quoted";
import { operationQuery } from "@/lib/operations";

import type { WithPassword } from "./requests";

export function PasswordDialog({ title, made: { operation: begun, account, password }, onClose }: { title: string; made: WithPassword; onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const { data: operation } = useQuery({ ...operationQuery(begun.id), initialData: begun });
  return (
    <Dialog title={title} onClose={onClose}>
      <p className="text-sm">{t(password === null ? "databases.password.handed" : "databases.password.once")}</p>
      <div className="rounded border border-line bg-sunken">
        <Facts>
          <Fact name={t("databases.column.account")}>
            <Quoted mono>{account}</Quoted>
          </Fact>
          {password !== null && (
            <Fact name={t("session.password")}>
              <span className="flex items-center gap-1">
                <code className="min-w-0 font-mono text-[0.92em] [overflow-wrap:anywhere]">{password}</code>
                <CopyButton text={password} label={t("databases.password.copy")} />
              </span>
            </Fact>
          )}
          <Fact name={t("operations.stateLabel")}>
            <span aria-live="polite" className="inline-flex flex-wrap items-center gap-x-2">
              <OperationStatus operation={operation} />
              <Link to="/operations/$id" params={{ id: operation.id }} className="underline">
                {t("operations.details")}
              </Link>
            </span>
          </Fact>
        </Facts>
      </div>
      <DialogButtons>
        <Button look="primary" onClick={onClose}>
          {t(password === null ? "common.close" : "databases.password.kept")}
        </Button>
      </DialogButtons>
    </Dialog>
  );
}
