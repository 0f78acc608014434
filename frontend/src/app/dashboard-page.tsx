import type { ReactNode } from "react";

import { ContainersSummary } from "@/features/containers/summary";
import { Dashboard } from "@/features/dashboard/dashboard";
import { LatestOperations } from "@/features/operations/latest";

export function DashboardPage(): ReactNode {
  return (
    <Dashboard summary={<ContainersSummary />}>
      <LatestOperations />
    </Dashboard>
  );
}
