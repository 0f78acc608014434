/**
 * Who may see what of the whole: set-up as long as there is no user, an invitation by its link, login for whoever is
 * not logged in (the address stays, so that a link in a mail leads where it should), else the page.
 */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useLocation } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, type ReactNode } from "react";

import { ErrorBox } from "@/components/states";

import { sessionQuery } from "@/lib/session";

const LoginPage = lazy(() => import("./login-page"));
const FirstPasswordPage = lazy(() => import("./first-password-page"));

export function Gate({ children }: { children: ReactNode }): ReactNode {
  const client = useQueryClient();
  const path = useLocation({ select: (location) => location.pathname });
  const { data, error, refetch } = useQuery(sessionQuery);
  const userId = data?.user?.id ?? null;
  useEffect(() => {
    // what one user has seen is nothing for the next one
    if (userId === null) client.removeQueries({ predicate: (query) => query.queryKey[0] !== sessionQuery.queryKey[0] });
  }, [client, userId]);
  if (!data) return error && <ErrorBox error={error} onRetry={() => void refetch()} />;
  const page =
    data.state === "setup-needed" ? (
      <FirstPasswordPage occasion="setup" />
    ) : path === "/invitation" ? (
      <FirstPasswordPage occasion="invitation" />
    ) : data.state === "anonymous" ? (
      <LoginPage session={data} />
    ) : (
      children
    );
  return <Suspense>{page}</Suspense>;
}
