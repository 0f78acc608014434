/** What a container takes: the last quarter of an hour as the portal measured it, then live from the stream. */

import { useQuery } from "@tanstack/react-query";
import { useEffect, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Chart } from "@/components/chart";
import { QueryView } from "@/components/query-view";
import { Empty, InlineError } from "@/components/states";
import { MeasuredAt } from "@/components/time";
import { bytes } from "@/lib/format";
import { Problem } from "@/lib/problem";

import { containerStatsQuery, statsStreamAddress, type StatsView } from "./requests";

const SHOWN_MS = 15 * 60_000;

export default function StatsPanels({ name, epoch }: { name: string; epoch: string }): ReactNode {
  const { t } = useTranslation();
  const history = useQuery(containerStatsQuery(name));
  const { live, problem } = useLiveStats(name, epoch);
  return (
    <QueryView query={history}>
      {({ samples }) => {
        const shown = recent([...samples, ...live]);
        const last = shown.at(-1);
        return (
          <div className="flex flex-col gap-3">
            {problem && <InlineError error={problem} />}
            {last ? (
              <>
                <MeasuredAt value={last.measured_at} />
                <Charts samples={shown} last={last} />
              </>
            ) : (
              <div className="rounded-lg border border-line bg-panel">
                <Empty title={t("containers.stats.none")}>{t("containers.stats.noneWhy")}</Empty>
              </div>
            )}
          </div>
        );
      }}
    </QueryView>
  );
}

function Charts({ samples, last }: { samples: readonly StatsView[]; last: StatsView }): ReactNode {
  const { t } = useTranslation();
  const times = samples.map(({ measured_at }) => Date.parse(measured_at));
  const cpu = samples.map(({ cpu_percent }) => cpu_percent);
  const known = cpu.filter((value) => value !== null);
  const incoming = rates(times, samples.map(({ network_in_bytes }) => network_in_bytes));
  const outgoing = rates(times, samples.map(({ network_out_bytes }) => network_out_bytes));
  const percent = (value: number): string => `${value.toFixed(1)} %`;
  const rate = (value: number): string => `${bytes(Math.round(value))}/s`;
  return (
    <div className="grid gap-4 xl:grid-cols-3">
      <Chart
        title={t("containers.cpu")}
        summary={t("containers.stats.cpu", { now: known.length === 0 ? "–" : percent(known.at(-1) ?? 0), most: percent(Math.max(0, ...known)) })}
        times={times}
        series={[{ name: t("containers.cpu"), values: cpu }]}
        format={percent}
        floor={5}
      />
      <Chart
        title={t("containers.memory")}
        summary={t(last.memory_limit_bytes ? "containers.stats.memoryOf" : "containers.stats.memory", { now: bytes(last.memory_bytes), limit: bytes(last.memory_limit_bytes ?? 0) })}
        times={times}
        series={[{ name: t("containers.memory"), values: samples.map(({ memory_bytes }) => memory_bytes) }]}
        format={bytes}
        floor={16 * 1024 ** 2}
      />
      <Chart
        title={t("containers.network")}
        summary={t("containers.stats.network", { received: bytes(last.network_in_bytes), sent: bytes(last.network_out_bytes) })}
        times={times}
        series={[
          { name: t("containers.received"), values: incoming },
          { name: t("containers.sent"), values: outgoing },
        ]}
        format={rate}
        floor={1024}
      />
    </div>
  );
}

function useLiveStats(name: string, epoch: string): { live: readonly StatsView[]; problem: Problem | null } {
  const [live, setLive] = useState<readonly StatsView[]>([]);
  const [problem, setProblem] = useState<Problem | null>(null);
  useEffect(() => {
    const stream = new EventSource(statsStreamAddress(name));
    stream.addEventListener("sample", (event) => {
      const sample = JSON.parse((event as MessageEvent<string>).data) as StatsView;
      setProblem(null);
      setLive((before) => recent([...before, sample]));
    });
    stream.addEventListener("end", () => stream.close());
    stream.addEventListener("problem", (event) => {
      stream.close();
      setProblem(new Problem(503, JSON.parse((event as MessageEvent<string>).data)));
    });
    return () => stream.close();
  }, [name, epoch]);
  return { live, problem };
}

function recent(samples: readonly StatsView[]): readonly StatsView[] {
  const since = Date.now() - SHOWN_MS;
  return samples.filter(({ measured_at }) => Date.parse(measured_at) >= since).toSorted((one, other) => Date.parse(one.measured_at) - Date.parse(other.measured_at));
}

/** Bytes a second between samples; unknown for the first one and where the counter began anew. */
export function rates(times: readonly number[], counts: readonly number[]): readonly (number | null)[] {
  return counts.map((count, index) => {
    const before = counts[index - 1];
    const seconds = ((times[index] ?? 0) - (times[index - 1] ?? 0)) / 1000;
    return before === undefined || count < before || seconds <= 0 ? null : (count - before) / seconds;
  });
}
