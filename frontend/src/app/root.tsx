import { useQuery } from "@tanstack/react-query";
import { Link, type ErrorComponentProps } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Page } from "@/components/page";
import { Empty, ErrorBox } from "@/components/states";
import { Toasts } from "@/components/toast";
import { Gate } from "@/features/session/gate";
import { sessionQuery } from "@/lib/session";
import { StepUpProvider } from "@/features/session/step-up";

import { Shell } from "./shell";

export function Root(): ReactNode {
  const { data: session } = useQuery(sessionQuery);
  return (
    <StepUpProvider>
      <Gate>{session && <Shell session={session} />}</Gate>
      <Toasts />
    </StepUpProvider>
  );
}

export function NotFound(): ReactNode {
  const { t } = useTranslation();
  return (
    <Page title={t("notFound.title")}>
      <Empty
        title={t("notFound.what")}
        action={
          <Link to="/" className="underline">
            {t("pages.dashboard")}
          </Link>
        }
      />
    </Page>
  );
}

export function RouteError({ error, reset }: ErrorComponentProps): ReactNode {
  return <ErrorBox error={error} onRetry={reset} />;
}
