import { useQuery } from "@tanstack/react-query";
import { Check, Minus } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import type { ActView } from "@/api/types.gen";
import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Table, type Column } from "@/components/table";
import { useActName } from "@/lib/act-name";
import { policyQuery } from "@/lib/session";

import { ROLES } from "./requests";

/** The policy table, readable: who may do what, and what is asked for before. */
export function RolesPanel(): ReactNode {
  const { t } = useTranslation();
  const actName = useActName();
  const query = useQuery(policyQuery);
  const asked = ({ step_up, typed_name }: ActView): string =>
    [step_up === true && t("roles.stepUp"), step_up === "protected" && t("roles.stepUpProtected"), typed_name === true && t("roles.typedName"), typed_name === "protected" && t("roles.typedNameProtected")]
      .filter(Boolean)
      .join(t("common.listSeparator"));
  const columns: readonly Column<ActView>[] = [
    {
      key: "act",
      head: t("operations.act"),
      cell: ({ name }) => (
        <>
          {actName(name)}
          <span className="block font-mono text-xs text-muted">{name}</span>
        </>
      ),
    },
    ...ROLES.map((role) => ({ key: role, head: t(`role.${role}`), cell: ({ role: least }: ActView) => <Mark isOn={ROLES.indexOf(role) >= ROLES.indexOf(least)} /> })),
    { key: "token", head: t("roles.token"), cell: ({ is_token_allowed }) => <Mark isOn={is_token_allowed} />, spare: "md" },
    { key: "asked", head: t("roles.asked"), cell: asked, spare: "md" },
  ];
  return (
    <Panel title={t("users.tabs.roles")}>
      <QueryView query={query}>{({ acts }) => <Table caption={t("users.tabs.roles")} columns={columns} rows={acts} rowKey={({ name }) => name} />}</QueryView>
    </Panel>
  );
}

function Mark({ isOn }: { isOn: boolean }): ReactNode {
  const { t } = useTranslation();
  const Icon = isOn ? Check : Minus;
  return <Icon size={15} role="img" aria-label={t(isOn ? "common.yes" : "common.no")} className={isOn ? "text-good" : "text-muted"} />;
}
