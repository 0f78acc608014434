/** A new route: hostname, service, what it is for; then its plan, with the record and the rules that go with it. */

import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { Dialog, DialogButtons } from "@/components/dialog";
import { SelectField, TextField } from "@/components/field";
import PlanDialog from "@/components/plan-dialog";
import { visible } from "@/lib/hostile-text";

import { routeCommand } from "../command-lines";
import { planRoutes, type NewRoute } from "./requests";

const ROLES = ["site", "webmail", "mail-api", "other"] as const;

export function AddRoute({ onClose }: { onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const [route, setRoute] = useState<Required<NewRoute>>({ hostname: "", path: null, service: "http://", role: "site" });
  const [protect, setProtect] = useState(true);
  const [isPlanned, setPlanned] = useState(false);
  const set = (changes: Partial<NewRoute>): void => setRoute((was) => ({ ...was, ...changes }));
  if (isPlanned) {
    const wanted = { add: [route], protect: route.role === "mail-api" && protect };
    return <PlanDialog title={`${t("tunnel.addTitle")}: ${visible(route.hostname)}`} verb={t("tunnel.addVerb")} make={() => planRoutes(wanted)} onClose={onClose} />;
  }
  return (
    <Dialog title={t("tunnel.addTitle")} onClose={onClose}>
      <form
        className="flex flex-col gap-3"
        onSubmit={(event) => {
          event.preventDefault();
          setPlanned(true);
        }}
      >
        <TextField label={t("tunnel.hostname")} hint={t("tunnel.hostnameHint")} required maxLength={255} spellCheck={false} value={route.hostname} onChange={(event) => set({ hostname: event.target.value.trim() })} />
        <TextField label={t("tunnel.service")} hint={t("tunnel.serviceHint")} required maxLength={255} spellCheck={false} value={route.service} onChange={(event) => set({ service: event.target.value.trim() })} />
        <TextField label={t("tunnel.path")} hint={t("tunnel.pathHint")} maxLength={255} spellCheck={false} value={route.path ?? ""} onChange={(event) => set({ path: event.target.value || null })} />
        <SelectField label={t("tunnel.role")} value={route.role} onChange={(event) => set({ role: event.target.value as (typeof ROLES)[number] })}>
          {ROLES.map((each) => (
            <option key={each} value={each}>
              {t(`tunnel.roleName.${each}`)}
            </option>
          ))}
        </SelectField>
        {route.role === "mail-api" && (
          <label className="flex items-center gap-2 text-sm">
            <input type="checkbox" className="size-4 accent-accent" checked={protect} onChange={(event) => setProtect(event.target.checked)} />
            {t("tunnel.protect")}
          </label>
        )}
        {route.hostname && <CommandLine command={routeCommand(route, protect)} />}
        <DialogButtons>
          <Button onClick={onClose}>{t("common.cancel")}</Button>
          <Button type="submit" look="primary">
            {t("tunnel.preview")}
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  );
}
