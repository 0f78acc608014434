import { queryOptions } from "@tanstack/react-query";

import * as api from "@/api/sdk.gen";
import type {
  BackupAssetList,
  ConfigureSite,
  CoreChange,
  Extension,
  ExtensionChange,
  ImportFiles,
  KeptView,
  MaintenanceChange,
  NewMailPlan,
  NewPassword,
  NewUpdatePlan,
  OperationView,
  OptionChange,
  PackageList,
  PlanSiteRecipeData,
  SiteMailList,
  SiteMailView,
  SiteProbesView,
  SiteReachList,
  SiteRecipePlan,
  SiteRecipeStep,
  SiteRowView,
  SiteView,
  UnfinishedRun,
  UnfinishedRuns,
  UpdatePlan,
  UpdateReport,
  UpdateReports,
  UpdateSiteReport,
  WordPressOverview,
  WpAnswer,
} from "@/api/types.gen";
import { mailPlan, sitePlan, type Plan } from "@/lib/plans";
import { BACKGROUND, once } from "@/lib/transport";

export type { Extension, KeptView, NewPassword, OperationView, SiteMailView, SiteProbesView, SiteReachList, SiteRecipePlan, SiteRecipeStep, SiteRowView, SiteView, UnfinishedRun, UpdatePlan, UpdateReport, UpdateSiteReport, WordPressOverview, WpAnswer };
export type SiteChange = ExtensionChange | CoreChange | OptionChange | MaintenanceChange;
export type Kind = ExtensionChange["kind"];
export type NewRecipe = PlanSiteRecipeData["body"];

export const WORDPRESS = ["wordpress"] as const;
const REFRESH_MS = 60_000;

export const sitesQuery = queryOptions({
  queryKey: [...WORDPRESS, "list"],
  queryFn: ({ signal }): Promise<WordPressOverview> => api.readWordpress({ signal, headers: BACKGROUND }),
  refetchInterval: REFRESH_MS,
  staleTime: 0, // whoever comes back from an operation sees what it has done
});

export const siteQuery = (site: string) =>
  queryOptions({
    queryKey: [...WORDPRESS, "site", site],
    queryFn: ({ signal }): Promise<SiteView> => api.readWordpressSite({ path: { site }, signal, headers: BACKGROUND }),
    refetchInterval: REFRESH_MS,
    staleTime: 0,
  });

export const probesQuery = (site: string) =>
  queryOptions({
    queryKey: [...WORDPRESS, "probes", site],
    queryFn: ({ signal }): Promise<SiteProbesView> => api.readSiteProbes({ path: { site }, signal, headers: BACKGROUND }),
    refetchInterval: REFRESH_MS,
  });

/** How all of them answered in the last round. */
export const reachQuery = queryOptions({
  queryKey: [...WORDPRESS, "reach"],
  queryFn: ({ signal }): Promise<SiteReachList> => api.listSiteProbes({ signal, headers: BACKGROUND }),
  refetchInterval: REFRESH_MS,
});

/** What the backup knows of sites, site by site; an error where none is connected. */
export const pointsQuery = queryOptions({
  queryKey: ["backups", "assets"],
  queryFn: ({ signal }): Promise<BackupAssetList> => api.listBackupAssets({ signal, headers: BACKGROUND }),
  select: ({ assets }) => new Map(assets.filter(({ kind }) => kind === "site").map(({ name, local_at }) => [name, local_at])),
  refetchInterval: REFRESH_MS,
  retry: false,
});

export const packagesQuery = queryOptions({
  queryKey: [...WORDPRESS, "packages"],
  queryFn: ({ signal }): Promise<PackageList> => api.listWordpressPackages({ signal, headers: BACKGROUND }),
});

export const updatesQuery = queryOptions({
  queryKey: [...WORDPRESS, "updates"],
  queryFn: ({ signal }): Promise<UpdateReports> => api.listSiteUpdates({ signal, headers: BACKGROUND }),
  refetchInterval: REFRESH_MS,
});

const AT_WORK_MS = 5_000; // beside the event stream, which says what has changed

export const updateQuery = (operation_id: string) =>
  queryOptions({
    queryKey: [...WORDPRESS, "update", operation_id],
    queryFn: ({ signal }): Promise<UpdateReport> => api.readSiteUpdate({ path: { operation_id }, signal, headers: BACKGROUND }),
    refetchInterval: ({ state: { data } }) => (data?.ended_at ? false : AT_WORK_MS),
  });

export const mailQuery = queryOptions({
  queryKey: [...WORDPRESS, "mail"],
  queryFn: ({ signal }): Promise<SiteMailList> => api.listSiteMail({ signal, headers: BACKGROUND }),
});

export const unfinishedQuery = queryOptions({
  queryKey: [...WORDPRESS, "unfinished"],
  queryFn: ({ signal }): Promise<UnfinishedRuns> => api.listUnfinishedSiteRuns({ signal, headers: BACKGROUND }),
});

export const importsQuery = queryOptions({
  queryKey: [...WORDPRESS, "imports"],
  queryFn: ({ signal }): Promise<ImportFiles> => api.listSiteImports({ signal, headers: BACKGROUND }),
});

export const refreshSites = (): Promise<unknown> => api.refreshWordpress({ headers: once() });
export const refreshSite = (site: string): Promise<SiteView> => api.refreshWordpressSite({ path: { site }, headers: once() });
export const verifySite = (site: string): Promise<OperationView> => api.verifyWordpressSite({ path: { site }, headers: once() });
export const flushCache = (site: string): Promise<OperationView> => api.flushWordpressCache({ path: { site }, headers: once() });
export const resetPassword = (site: string, login: string): Promise<NewPassword> => api.resetWordpressPassword({ path: { site, login }, headers: once() });
export const renewSalts = (site: string): Promise<OperationView> => api.renewWordpressSalts({ path: { site }, headers: once() });
export const runWp = (site: string, line: { command: string[]; arguments: string[]; options: Record<string, string> }): Promise<WpAnswer> => api.runWp({ path: { site }, body: line, headers: once() });
export const configureSite = (site: string, body: ConfigureSite): Promise<OperationView> => api.configureWordpressSite({ path: { site }, body, headers: once() });
export const testMail = (site: string): Promise<OperationView> => api.testSiteMail({ path: { site }, headers: once() });

export const planSite = async (site: string, changes: SiteChange[]): Promise<Plan> => sitePlan(await api.planWordpressSite({ path: { site }, body: { changes }, headers: once() }));
export const planReplacement = async (site: string, old: string, next: string): Promise<Plan> =>
  sitePlan(await api.planWordpressReplacement({ path: { site }, body: { old, new: next }, headers: once() }));
export const planMail = async (wanted: NewMailPlan): Promise<Plan> => mailPlan(await api.planSiteMail({ body: wanted, headers: once() }));

export const planUpdate = (wanted: NewUpdatePlan): Promise<UpdatePlan> => api.planSiteUpdate({ body: wanted, headers: once() });
export const applyUpdate = (plan_id: string): Promise<OperationView> => api.applySiteUpdatePlan({ path: { plan_id }, body: {}, headers: once() });

export const planRecipe = (wanted: NewRecipe): Promise<SiteRecipePlan> => api.planSiteRecipe({ body: wanted, headers: once() });
export const applyRecipe = (plan_id: string, typed_names: string[]): Promise<OperationView> => api.applySiteRecipe({ path: { plan_id }, body: { typed_names }, headers: once() });
export const resumeRun = (run_id: string): Promise<OperationView> => api.resumeSiteRun({ path: { run_id }, headers: once() });
export const revertRun = (run_id: string): Promise<OperationView> => api.revertSiteRun({ path: { run_id }, headers: once() });
