/** Texts replaced in the whole database, counted first; and single allowed lines of wp. */

import { lazy, Suspense, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { TextField } from "@/components/field";
import { Panel } from "@/components/panel";
import { InlineError } from "@/components/states";
import { Status } from "@/components/status";
import { useAct } from "@/lib/act";
import { visible } from "@/lib/hostile-text";
import { OPERATIONS } from "@/lib/operations";
import { usePermission } from "@/lib/permission";
import { quoted } from "@/lib/shell";

import { planReplacement, runWp, type SiteView, type WpAnswer } from "./requests";
import { wpWords } from "./wp-line";

const PlanDialog = lazy(() => import("@/components/plan-dialog"));
const MIN_CHARACTERS = 3;

export default function ToolsPanel({ site }: { site: SiteView }): ReactNode {
  return (
    <>
      <Replace site={site} />
      <WpLine site={site} />
    </>
  );
}

function Replace({ site }: { site: SiteView }): ReactNode {
  const { t } = useTranslation();
  const { isPermitted, role } = usePermission("wordpress:plan");
  const [old, setOld] = useState("");
  const [next, setNext] = useState("");
  const [asked, setAsked] = useState(false);
  const isReady = isPermitted && site.state === "active" && old.trim().length >= MIN_CHARACTERS && old !== next;
  return (
    <Panel title={t("wordpress.replace.title")}>
      <form
        className="flex flex-col gap-3 p-3"
        onSubmit={(event) => {
          event.preventDefault();
          if (isReady) setAsked(true);
        }}
      >
        <p className="max-w-prose text-sm text-muted">{t("wordpress.replace.about")}</p>
        <div className="grid gap-3 sm:grid-cols-2">
          <TextField label={t("wordpress.replace.old")} required maxLength={2000} spellCheck={false} value={old} onChange={(event) => setOld(event.target.value)} />
          <TextField label={t("wordpress.replace.new")} maxLength={2000} spellCheck={false} value={next} onChange={(event) => setNext(event.target.value)} />
        </div>
        <Button type="submit" className="self-start" disabled={!isReady}>
          {t("wordpress.replace.count")}
        </Button>
        {!isPermitted && role && <p className="text-xs text-muted">{t("common.needsRole", { role: t(`role.${role}`) })}</p>}
        <CommandLine command={`homeport wordpress search-replace ${site.name} ${quoted(old || "OLD")} ${quoted(next || "NEW")} --plan`} />
      </form>
      {asked && (
        <Suspense>
          <PlanDialog title={t("wordpress.replace.title")} verb={t("wordpress.replace.verb")} isDangerous make={() => planReplacement(site.name, old, next)} onClose={() => setAsked(false)} />
        </Suspense>
      )}
    </Panel>
  );
}

function WpLine({ site }: { site: SiteView }): ReactNode {
  const { t } = useTranslation();
  const { isPermitted, role } = usePermission("wordpress:wp");
  const [line, setLine] = useState("plugin list");
  const [answer, setAnswer] = useState<WpAnswer | null>(null);
  const run = useAct(() => runWp(site.name, wpWords(line)), { refreshes: [OPERATIONS], onDone: setAnswer });
  return (
    <Panel title={t("wordpress.line.title")}>
      <form
        className="flex flex-col gap-3 p-3"
        onSubmit={(event) => {
          event.preventDefault();
          setAnswer(null);
          if (isPermitted && line.trim() !== "" && !run.isPending) run.mutate();
        }}
      >
        <p className="max-w-prose text-sm text-muted">{t("wordpress.line.about")}</p>
        <TextField label={t("wordpress.line.line")} spellCheck={false} autoCapitalize="none" maxLength={2000} value={line} onChange={(event) => setLine(event.target.value)} />
        <Button type="submit" className="self-start" disabled={!isPermitted || site.state !== "active" || line.trim() === ""} busy={run.isPending}>
          {t("wordpress.line.run")}
        </Button>
        {!isPermitted && role && <p className="text-xs text-muted">{t("common.needsRole", { role: t(`role.${role}`) })}</p>}
        {run.error && <InlineError error={run.error} />}
        {answer && (
          <div role="status" className="flex flex-col gap-2">
            <Status tone={answer.exit_code === 0 ? "good" : "bad"}>{t("wordpress.line.ended", { code: answer.exit_code })}</Status>
            {[answer.stdout, answer.stderr].map(
              (text, index) =>
                text !== "" && (
                  // oxlint-disable-next-line react/no-array-index-key, jsx-a11y/no-noninteractive-tabindex -- there are always these two; what scrolls has to be reached by keys
                  <pre key={index} tabIndex={0} dir="ltr" className="max-h-96 overflow-auto rounded border border-line bg-sunken p-2 font-mono text-xs">
                    {visible(text, "\n\t")}
                  </pre>
                ),
            )}
            {answer.is_cut && <p className="text-xs text-warn">{t("wordpress.line.cut")}</p>}
          </div>
        )}
        <CommandLine command={`homeport wordpress wp ${site.name} ${line.trim().replace(/^wp\s+/, "")}`} />
      </form>
    </Panel>
  );
}
