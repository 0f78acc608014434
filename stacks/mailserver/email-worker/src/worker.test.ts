/** The Worker as Cloudflare calls it: its three handlers, with the settings of the environment alone. */

import { createExecutionContext, createScheduledController, waitOnExecutionContext } from "cloudflare:test";
import { expect, test } from "vitest";
import { World, arriving } from "../test/edge";
import { HEALTHY, SMTP, ScriptedOrigin, problem, receipt } from "../test/origin";
import type { Incoming } from "./receive";
import worker from "./worker";

type Email = (message: Incoming, env: World["env"], context: ExecutionContext) => Promise<void>;

async function deliver(message: Incoming, world: World): Promise<void> {
  const context = createExecutionContext();
  await (worker.email as unknown as Email)(message, world.env, context);
  await waitOnExecutionContext(context);
}

test("email: a message is posted, refused, or retained; scheduled: what was retained is posted", async () => {
  const origin = await ScriptedOrigin.open({
    messages: [receipt(), problem(404, "unknown-mailbox", { smtp: SMTP }), { status: 503 }, receipt()],
    health: [HEALTHY],
  });
  const world = new World(origin);
  const messages = [arriving(), arriving(), arriving()];
  for (const message of messages) await deliver(message, world);
  expect(messages.map(({ rejected }) => rejected)).toEqual([[], ["5.1.1 Mailbox does not exist"], []]);
  expect(await world.keys("pending/")).toHaveLength(1);

  const context = createExecutionContext();
  await worker.scheduled(createScheduledController({ cron: "* * * * *" }), world.env, context);
  await waitOnExecutionContext(context);
  expect(await world.keys("pending/")).toEqual([]);
  const ids = await origin.posted();
  expect(ids[3]).toBe(ids[2]);
});

test("email: with nothing bound at all the handler throws, and never rejects", async () => {
  const world = new World(null);
  const message = arriving();
  const context = createExecutionContext();
  await expect((worker.email as unknown as Email)(message, {}, context)).rejects.toThrow("no bucket");
  expect(message.rejected).toEqual([]);
  expect(await world.keys()).toEqual([]);
});

test("fetch: a stranger hears 401 or 404", async () => {
  const world = new World(null);
  const fetch = worker.fetch as (request: Request, env: World["env"], context: ExecutionContext) => Promise<Response>;
  expect((await fetch(new Request("https://edge.example/status"), world.env, createExecutionContext())).status).toBe(
    401,
  );
  expect((await fetch(new Request("https://edge.example/"), world.env, createExecutionContext())).status).toBe(404);
});
