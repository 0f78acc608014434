import { queryOptions } from "@tanstack/react-query";

import * as api from "@/api/sdk.gen";
import type { DomainPlan, MailDomainList, MailDomainView, NewDomainPlan, OperationView, StepView } from "@/api/types.gen";
import { BACKGROUND, once } from "@/lib/transport";

export type { DomainPlan, MailDomainView, StepView };

export const DOMAINS = ["mail-domains"] as const;
const REFRESH_MS = 60_000;

export const domainsQuery = queryOptions({
  queryKey: [...DOMAINS, "list"],
  queryFn: ({ signal }): Promise<MailDomainList> => api.listMailDomains({ signal, headers: BACKGROUND }),
  refetchInterval: REFRESH_MS,
});

export const planDomain = (wanted: NewDomainPlan): Promise<DomainPlan> => api.planMailDomain({ body: wanted, headers: once() });
export const applyDomain = (plan_id: string, typed_names: string[]): Promise<OperationView> => api.applyMailDomainPlan({ path: { plan_id }, body: { typed_names, reason: null }, headers: once() });
export const sendCanary = (domain: string): Promise<OperationView> => api.sendMailDomainCanary({ path: { domain }, headers: once() });
