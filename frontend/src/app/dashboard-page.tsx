import type { ReactNode } from "react";

import { BackupsSummary } from "@/features/backups/summary";
import { ContainersSummary } from "@/features/containers/summary";
import { DatabasesSummary } from "@/features/databases/summary";
import { Dashboard } from "@/features/dashboard/dashboard";
import { LatestOperations } from "@/features/operations/latest";
import { WordPressSummary } from "@/features/wordpress/summary";

export function DashboardPage(): ReactNode {
  return (
    <Dashboard
      summary={
        <div className="flex min-w-0 flex-col gap-4">
          <ContainersSummary />
          <BackupsSummary />
          <WordPressSummary />
          <DatabasesSummary />
        </div>
      }
    >
      <LatestOperations />
    </Dashboard>
  );
}
