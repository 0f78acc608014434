/** The last five weeks: which day has which points, and which days that should have one have none. */

import { Link } from "@tanstack/react-router";
import { CircleAlert, CircleCheck, CircleDashed, Cloud, TriangleAlert, type LucideIcon } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Panel } from "@/components/panel";
import { useNow } from "@/lib/clock";
import { currentLanguage } from "@/lib/language";

import { dateIn, dayOf, flatOf, isHole, troubleOf, weeksUpTo } from "./judge";
import type { Known, PointView } from "./requests";

const WEEKS = 5; // four weekly points lie in them, whatever today is
const SUNDAY = 7;

export function CalendarPanel({ overview: { points, zone, retention } }: { overview: Known }): ReactNode {
  const { t } = useTranslation();
  const language = currentLanguage();
  const today = dateIn(zone, useNow());
  const weeks = weeksUpTo(today, WEEKS, firstDay());
  const byDay = new Map<string, PointView[]>();
  for (const point of points) {
    const day = dayOf(point, zone);
    byDay.set(day, [...(byDay.get(day) ?? []), point]);
  }
  const scheduled = new Set(points.filter(({ kind }) => kind !== "manual").map((point) => dayOf(point, zone)));
  const weekday = new Intl.DateTimeFormat(language, { weekday: "short", timeZone: "UTC" });
  return (
    <Panel title={t("backups.calendar")} aside={<span className="text-xs text-muted">{t("backups.calendarAbout", { zone })}</span>}>
      <table className="w-full table-fixed border-collapse text-xs">
        <caption className="sr-only">{t("backups.calendar")}</caption>
        <thead>
          <tr>
            {(weeks[0] ?? []).map((day) => (
              <th key={day} scope="col" className="py-1 font-normal text-muted">
                {weekday.format(new Date(`${day}T00:00:00Z`))}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {weeks.map((week) => (
            <tr key={week[0]}>
              {week.map((day) => (
                <td key={day} className={`border-t border-l border-line p-1 align-top first:border-l-0 ${day > today ? "bg-sunken/50" : ""}`}>
                  <time dateTime={day} aria-current={day === today ? "date" : undefined} className={`block px-0.5 ${day === today ? "font-semibold text-accent" : "text-muted"}`}>
                    {day.endsWith("-01") || day === weeks[0]?.[0] ? `${Number(day.slice(5, 7))}/${Number(day.slice(8))}` : Number(day.slice(8))}
                  </time>
                  <div className="flex min-h-7 flex-wrap">
                    {(byDay.get(day) ?? []).map((point) => (
                      <Mark key={point.id} point={point} />
                    ))}
                    {isHole(day, scheduled, today, retention.daily) && (
                      <span className="inline-flex items-center p-1 text-warn" title={t("backups.noPoint")}>
                        <CircleDashed size={14} role="img" aria-label={t("backups.noPoint")} />
                      </span>
                    )}
                  </div>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}

function Mark({ point }: { point: PointView }): ReactNode {
  const { t } = useTranslation();
  const trouble = troubleOf(point);
  const [Icon, colour]: readonly [LucideIcon, string] =
    trouble === "unverified" ? [TriangleAlert, "text-warn"] : trouble ? [CircleAlert, "text-bad"] : point.is_local ? [CircleCheck, "text-good"] : [Cloud, "text-accent"];
  const name = [t(`backups.kind.${point.kind}`), point.id, t(`backups.state.${trouble ?? "verified"}`), ...(point.is_local ? [] : [t("backups.vaultOnly")])].join(t("common.listSeparator"));
  return (
    <Link
      to="/backups/points/$flat"
      params={{ flat: flatOf(point.id) }}
      aria-label={name}
      title={name}
      className={`target inline-flex items-center justify-center gap-0.5 rounded hover:bg-sunken ${colour}`}
    >
      <Icon size={14} aria-hidden />
      <span aria-hidden className="hidden sm:inline">
        {t(`backups.kindShort.${point.kind}`)}
      </span>
    </Link>
  );
}

/** The first day of the week where whoever looks lives; where the browser cannot say, Sunday, as in Japan. */
function firstDay(): number {
  const locale = new Intl.Locale(navigator.language) as Intl.Locale & { getWeekInfo?: () => { firstDay: number } };
  return locale.getWeekInfo?.().firstDay ?? SUNDAY;
}
