/** The Worker's own routes, for `homeport edge`: signed like a request without a body (wire.md). */

import { drain } from "./drain";
import { type Edge, numberOf, originOf } from "./environment";
import { log, reasonOf } from "./log";
import { HELD, PENDING, shelf } from "./retention";
import { isSigned } from "./signature";
import { days } from "./statistics";
import { check, readWatch } from "./watchdog";

const ROUTES: Readonly<Record<string, (edge: Edge) => Promise<Response>>> = {
  "GET /status": status,
  "POST /drain": drainNow,
};

const PENDING_PAGES = 10; // of 1,000 objects each
const HELD_PAGES = 2;

export async function route(request: Request, edge: Edge): Promise<Response> {
  const answer = ROUTES[`${request.method} ${new URL(request.url).pathname}`];
  if (!answer) return problem(404, "not-found", "Nothing is here");
  try {
    if (!(await isSigned(request, originOf(edge.env).key, edge.now() / 1000)))
      return problem(401, "signature-refused", "Signature refused", { "WWW-Authenticate": "Homeport" });
    return await answer(edge);
  } catch (error) {
    log.error("route_failed", { error: reasonOf(error) });
    return problem(500, "internal-error", "Internal error");
  }
}

async function status(edge: Edge): Promise<Response> {
  const { env } = edge;
  const bucket = env.RETAINED;
  const [retained, held, origin, counted] = bucket
    ? await Promise.all([
        shelf(bucket, PENDING, PENDING_PAGES),
        shelf(bucket, HELD, HELD_PAGES),
        readWatch(bucket),
        days(bucket, edge.now()),
      ])
    : [null, null, null, {}];
  return Response.json({
    v: 1,
    version: env.WORKER_VERSION ?? null,
    at: Math.floor(edge.now() / 1000),
    retained,
    held,
    origin,
    days: counted,
    bindings: {
      retained: bucket !== undefined,
      recipients: env.RECIPIENTS !== undefined && env.RECIPIENTS_KEY !== undefined,
      alert_webhook: env.ALERT_WEBHOOK !== undefined,
      alert_mail: env.ALERT_MAIL !== undefined && env.ALERT_MAIL_FROM !== undefined && env.ALERT_MAIL_TO !== undefined,
      access: env.ACCESS_CLIENT_ID !== undefined,
    },
  });
}

async function drainNow(edge: Edge): Promise<Response> {
  const bucket = edge.env.RETAINED;
  if (!bucket) return Response.json({ drained: 0, failed: 0, held: 0, stopped: null, more: false });
  const budget = { left: numberOf(edge.env, "SUBREQUESTS") - 1 };
  return Response.json(await drain(edge, bucket, budget, (await check(edge)).health));
}

function problem(code: number, type: string, title: string, headers: Record<string, string> = {}): Response {
  const document = { type: `/problems/${type}`, title, status: code };
  const all = { ...headers, "Content-Type": "application/problem+json" };
  return new Response(JSON.stringify(document), { status: code, headers: all });
}
