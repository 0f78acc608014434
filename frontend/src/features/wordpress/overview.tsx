/** What a site is: versions, sizes, what runs it, and whether its files are as they were published. */

import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { SelectField, TextField } from "@/components/field";
import { Fact, Facts, Panel } from "@/components/panel";
import { Quoted } from "@/components/quoted";
import { InlineError } from "@/components/states";
import { Status } from "@/components/status";
import { Time } from "@/components/time";
import { useAct } from "@/lib/act";
import { bytes, duration } from "@/lib/format";
import { visible } from "@/lib/hostile-text";
import { OPERATIONS } from "@/lib/operations";
import { usePermission } from "@/lib/permission";

import { follow } from "./follow";
import { configureSite, flushCache, mailQuery, testMail, verifySite, WORDPRESS, type SiteView } from "./requests";
import { NewestPoint } from "./site-status";
import type { Wanted } from "./site-page";

const UNKNOWN = "–";
const LATE_S = 600; // an event waits for the next visit or the next run from outside, which is no fault
const ONLY_WITH_DEBUG: ReadonlySet<string> = new Set(["WP_DEBUG_DISPLAY", "WP_DEBUG_LOG"]); // they do nothing without WP_DEBUG

export function Overview({ site, onWanted }: { site: SiteView; onWanted: (wanted: Wanted) => void }): ReactNode {
  return (
    <div className="grid items-start gap-4 lg:grid-cols-2">
      <div className="flex min-w-0 flex-col gap-4">
        <Versions site={site} onWanted={onWanted} />
        <Integrity site={site} />
        <MailPanel site={site} />
      </div>
      <div className="flex min-w-0 flex-col gap-4">
        <Health site={site} />
        <PhpPanel key={JSON.stringify([site.php, site.xmlrpc, site.ring])} site={site} />
      </div>
    </div>
  );
}

function Versions({ site, onWanted }: { site: SiteView; onWanted: (wanted: Wanted) => void }): ReactNode {
  const { t } = useTranslation();
  const { isPermitted } = usePermission("wordpress:plan");
  const update = site.core_update;
  const verb = t("wordpress.act.update");
  return (
    <Panel title={t("wordpress.about.title")}>
      <Facts>
        <Fact name={t("wordpress.about.name")}>
          <Quoted>{site.title ?? UNKNOWN}</Quoted>
        </Fact>
        <Fact name={t("wordpress.about.hostnames")}>
          <ul>
            {site.hostnames.map((each) => (
              <li key={each}>
                <Quoted>{each}</Quoted>
              </li>
            ))}
          </ul>
        </Fact>
        <Fact name={t("wordpress.column.core")}>
          <span className="flex flex-wrap items-center gap-2">
            <Quoted mono>{site.core_version ?? UNKNOWN}</Quoted>
            {update !== null && (
              <>
                <Status tone="warn">
                  <Quoted mono>{`→ ${update}`}</Quoted>
                </Status>
                <Button
                  disabled={!isPermitted || site.state !== "active"}
                  onClick={() => onWanted({ title: t("wordpress.actOn", { act: verb, name: "WordPress" }), verb, isDangerous: true, changes: [{ kind: "core", version: update }] })}
                >
                  {verb}
                </Button>
              </>
            )}
          </span>
        </Fact>
        {site.needs_db_update === true && (
          <Fact name={t("wordpress.about.databaseVersion")}>
            <Status tone="warn">{t("wordpress.about.needsDatabaseUpdate")}</Status>
          </Fact>
        )}
        <Fact name={t("wordpress.column.php")}>
          <Quoted mono>{site.php_version ?? UNKNOWN}</Quoted>
        </Fact>
        <Fact name={t("wordpress.about.locale")}>
          <Quoted mono>{site.locale ?? UNKNOWN}</Quoted>
        </Fact>
        <Fact name={t("wordpress.column.database")}>
          <Link to="/databases/$server/$database" params={{ server: site.server, database: site.database }} className="underline">
            <Quoted mono>{site.database}</Quoted>
          </Link>
          {site.database_bytes !== null && ` · ${bytes(site.database_bytes)}`}
        </Fact>
        {site.site_bytes !== null && <Fact name={t("wordpress.about.files")}>{bytes(site.site_bytes)}</Fact>}
        <Fact name={t("wordpress.column.ring")}>{site.ring}</Fact>
        <Fact name={t("wordpress.about.uid")}>{site.uid}</Fact>
        <Fact name={t("wordpress.column.point")}>
          <NewestPoint site={site.name} />{" "}
          <Link to="/backups" search={{ tab: "coverage", find: site.name }} className="underline">
            {t("wordpress.about.toPoints")}
          </Link>
        </Fact>
      </Facts>
    </Panel>
  );
}

function Health({ site }: { site: SiteView }): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { isPermitted, role } = usePermission("wordpress:cache");
  const flush = useAct(() => flushCache(site.name), { refreshes: [OPERATIONS], onDone: follow(navigate) });
  const { cron } = site;
  const debug = Object.entries(site.debug);
  return (
    <Panel
      title={t("wordpress.health.title")}
      aside={
        <Button disabled={!isPermitted || site.state !== "active"} title={isPermitted || !role ? undefined : t("common.needsRole", { role: t(`role.${role}`) })} busy={flush.isPending} onClick={() => flush.mutate()}>
          {t("wordpress.health.flush")}
        </Button>
      }
    >
      <Facts>
        <Fact name={t("wordpress.health.cache")}>{site.object_cache === null ? UNKNOWN : t(site.object_cache ? "common.yes" : "common.no")}</Fact>
        <Fact name={t("wordpress.health.cron")}>
          {cron === null ? (
            UNKNOWN
          ) : cron.is_disabled === true && (cron.overdue ?? 0) === 0 ? (
            t("wordpress.health.cronOutside", { count: cron.events ?? 0 })
          ) : (cron.overdue ?? 0) > 0 && (cron.oldest_overdue_s ?? 0) >= LATE_S ? (
            <Status tone="warn" wraps>
              {t("wordpress.health.overdue", { count: cron.overdue ?? 0, age: duration(cron.oldest_overdue_s ?? 0) })}
            </Status>
          ) : (
            t("wordpress.health.events", { count: cron.events ?? 0 })
          )}
        </Fact>
        {debug.map(([name, isOn]) => (
          <Fact key={name} name={name}>
            <Status tone={isOn && (site.is_debugging === true || !ONLY_WITH_DEBUG.has(name)) ? "warn" : "idle"}>{t(isOn ? "wordpress.on" : "wordpress.off")}</Status>
          </Fact>
        ))}
        <Fact name={t("wordpress.health.autoload")}>{site.autoload_bytes === null ? UNKNOWN : bytes(site.autoload_bytes)}</Fact>
        {site.errors.length > 0 && (
          <Fact name={t("wordpress.health.errors")}>
            <ul lang="en" className="text-xs">
              {site.errors.map((each) => (
                <li key={each}>
                  <Quoted>{each}</Quoted>
                </li>
              ))}
            </ul>
          </Fact>
        )}
      </Facts>
      {flush.error && <InlineError error={flush.error} />}
      <div className="px-3 pb-3">
        <CommandLine command={`homeport wordpress cache ${site.name}`} />
      </div>
    </Panel>
  );
}

function Integrity({ site }: { site: SiteView }): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { isPermitted } = usePermission("wordpress:refresh");
  const verify = useAct(() => verifySite(site.name), { refreshes: [OPERATIONS, WORDPRESS], onDone: follow(navigate) });
  const sums = site.checksums;
  return (
    <Panel
      title={t("wordpress.sums.title")}
      aside={
        <Button disabled={!isPermitted || site.state !== "active"} busy={verify.isPending} onClick={() => verify.mutate()}>
          {t("wordpress.sums.verify")}
        </Button>
      }
    >
      {sums === null ? (
        <p className="p-3 text-sm text-muted">{t("wordpress.sums.never")}</p>
      ) : (
        <>
          <Facts>
            <Fact name={t("wordpress.sums.at")}>
              <Time value={sums.checked_at} />
            </Fact>
            <Fact name="WordPress">
              <Verified isVerified={sums.is_core_verified} detail={sums.core_detail} />
            </Fact>
            <Fact name={t("wordpress.column.plugins")}>
              <Verified isVerified={sums.are_plugins_verified} detail={sums.plugins_detail} />
            </Fact>
          </Facts>
          {sums.problems.length > 0 && (
            <ul aria-label={t("wordpress.sums.problems")} className="max-h-60 overflow-y-auto border-t border-line p-3 text-xs">
              {sums.problems.map(({ plugin, file, message }) => (
                <li key={`${plugin} ${file} ${message}`}>
                  <Quoted mono>{`${plugin}/${file}`}</Quoted>{" "}
                  <span lang="en" className="text-muted">
                    <Quoted>{message}</Quoted>
                  </span>
                </li>
              ))}
            </ul>
          )}
        </>
      )}
      {verify.error && <InlineError error={verify.error} />}
      <div className="px-3 pb-3">
        <CommandLine command={`homeport wordpress verify ${site.name}`} />
      </div>
    </Panel>
  );
}

function Verified({ isVerified, detail }: { isVerified: boolean; detail: string }): ReactNode {
  const { t } = useTranslation();
  return (
    <>
      <Status tone={isVerified ? "good" : "bad"}>{t(isVerified ? "wordpress.sums.good" : "wordpress.sums.bad")}</Status>
      {!isVerified && detail && (
        <span lang="en" className="block text-xs text-muted">
          <Quoted>{detail}</Quoted>
        </span>
      )}
    </>
  );
}

/** Names of PhpSettings, with what they may be. */
const PHP = [
  ["memory_limit_mib", 64, 1024, 256, "memory-mib"],
  ["upload_max_mib", 1, 512, 64, "upload-mib"],
  ["max_execution_s", 5, 300, 60, "seconds"],
  ["max_children", 1, 32, 4, "children"],
] as const;

function PhpPanel({ site }: { site: SiteView }): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { isPermitted, role } = usePermission("wordpress:configure");
  const [php, setPhp] = useState(site.php);
  const [xmlrpc, setXmlrpc] = useState(site.xmlrpc);
  const [ring, setRing] = useState(site.ring);
  const save = useAct(() => configureSite(site.name, { php, xmlrpc, ring }), { refreshes: [OPERATIONS, WORDPRESS], onDone: follow(navigate) });
  const isChanged = ring !== site.ring || xmlrpc !== site.xmlrpc || PHP.some(([name]) => php[name] !== site.php[name]);
  const options = PHP.filter(([name]) => php[name] !== site.php[name]).map(([name, , , , option]) => ` --${option} ${String(php[name])}`);
  return (
    <Panel title={t("wordpress.php.title")}>
      <form
        className="flex flex-col gap-3 p-3"
        onSubmit={(event) => {
          event.preventDefault();
          if (isChanged && isPermitted) save.mutate();
        }}
      >
        <div className="grid gap-3 sm:grid-cols-2">
          {PHP.map(([name, min, max, usual]) => (
            <TextField
              key={name}
              type="number"
              label={t(`wordpress.php.${name}`)}
              min={min}
              max={max}
              required
              disabled={!isPermitted}
              value={php[name] ?? usual}
              onChange={(event) => setPhp((now) => ({ ...now, [name]: event.target.valueAsNumber }))}
            />
          ))}
        </div>
        <label className="flex items-center gap-2 text-sm">
          <input type="checkbox" className="size-4 accent-accent" disabled={!isPermitted} checked={xmlrpc} onChange={(event) => setXmlrpc(event.target.checked)} />
          {t("wordpress.php.xmlrpc")}
        </label>
        <div className="max-w-40">
          <SelectField label={t("wordpress.column.ring")} hint={t("wordpress.recipe.ringHint")} disabled={!isPermitted} value={ring} onChange={(event) => setRing(event.target.value === "1" ? 1 : 2)}>
            <option value={1}>1</option>
            <option value={2}>2</option>
          </SelectField>
        </div>
        {save.error && <InlineError error={save.error} />}
        <div className="flex flex-wrap items-center gap-2">
          <Button type="submit" disabled={!isPermitted || !isChanged} busy={save.isPending}>
            {t("common.save")}
          </Button>
          {!isPermitted && role && <span className="text-xs text-muted">{t("common.needsRole", { role: t(`role.${role}`) })}</span>}
        </div>
        {ring !== site.ring && <CommandLine command={`homeport wordpress ring ${site.name} ${ring}`} />}
        <CommandLine command={`homeport wordpress php ${site.name}${options.join("")}${xmlrpc === site.xmlrpc ? "" : xmlrpc ? " --xmlrpc" : " --no-xmlrpc"}`} />
      </form>
    </Panel>
  );
}

function MailPanel({ site }: { site: SiteView }): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { data } = useQuery(mailQuery);
  const { isPermitted } = usePermission("wordpress:mail-test");
  const test = useAct(() => testMail(site.name), { refreshes: [OPERATIONS], onDone: follow(navigate) });
  const mail = data?.sites.find((each) => each.site === site.name);
  return (
    <Panel
      title={t("wordpress.mail.title")}
      aside={
        <>
          <Button disabled={!isPermitted || !mail?.sender} busy={test.isPending} onClick={() => test.mutate()}>
            {t("wordpress.mail.test")}
          </Button>
          <Link to="/wordpress/mail" className="text-sm underline">
            {t("wordpress.mail.configure")}
          </Link>
        </>
      }
    >
      <p className="p-3 text-sm">{mail?.sender ? <Quoted mono>{mail.sender_name ? `${mail.sender_name} <${mail.sender}>` : mail.sender}</Quoted> : <span className="text-muted">{t("wordpress.mail.none")}</span>}</p>
      {test.error && <InlineError error={test.error} />}
      <div className="px-3 pb-3">
        <CommandLine command={`homeport wordpress mail test ${visible(site.name)}`} />
      </div>
    </Panel>
  );
}
