import { getRouteApi, Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { CommandLine } from "@/components/copy";
import { Page } from "@/components/page";
import { tabLook, Tabs } from "@/components/tabs";

import { RolesPanel } from "./roles-panel";
import { TokensPanel } from "./tokens-panel";
import { UsersPanel } from "./users-panel";

const route = getRouteApi("/users");
const TABS = ["users", "tokens", "roles"] as const;

/** Who may come in, what may come in by itself, and what each role may do. */
export function UsersPage(): ReactNode {
  const { t } = useTranslation();
  const { tab = "users" } = route.useSearch();
  return (
    <Page title={t("pages.users")}>
      <Tabs label={t("users.views")}>
        {TABS.map((each) => (
          <Link
            key={each}
            to="/users"
            search={each === "users" ? {} : { tab: each }}
            replace
            {...tabLook(tab === each)}
          >
            {t(`users.tabs.${each}`)}
          </Link>
        ))}
      </Tabs>
      {tab === "users" && <UsersPanel />}
      {tab === "tokens" && <TokensPanel />}
      {tab === "roles" && <RolesPanel />}
      {tab !== "roles" && <CommandLine command={`homeport ${tab} list`} />}
    </Page>
  );
}
