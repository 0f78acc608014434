import { getRouteApi, Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { CommandLine } from "@/components/copy";
import { Page } from "@/components/page";

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
      <nav aria-label={t("users.views")} className="flex gap-1 overflow-x-auto border-b border-line">
        {TABS.map((each) => (
          <Link
            key={each}
            to="/users"
            search={each === "users" ? {} : { tab: each }}
            replace
            aria-current={tab === each ? "page" : undefined}
            data-now={tab === each}
            className="target -mb-px border-b-2 border-transparent px-3 py-1.5 text-sm whitespace-nowrap text-muted hover:text-ink data-[now=true]:border-accent data-[now=true]:font-medium data-[now=true]:text-ink"
          >
            {t(`users.tabs.${each}`)}
          </Link>
        ))}
      </nav>
      {tab === "users" && <UsersPanel />}
      {tab === "tokens" && <TokensPanel />}
      {tab === "roles" && <RolesPanel />}
      {tab !== "roles" && <CommandLine command={`homeport ${tab} list`} />}
    </Page>
  );
}
