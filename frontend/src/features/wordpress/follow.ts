import type { useNavigate } from "@tanstack/react-router";

import type { OperationView } from "./requests";

/** What has begun is followed on its own page. */
export const follow =
  (navigate: ReturnType<typeof useNavigate>) =>
  ({ id }: OperationView): void =>
    void navigate({ to: "/operations/$id", params: { id } });
