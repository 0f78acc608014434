/** Telling the operator, past the workstation: by webhook, and by mail where a `send_email` binding exists. */

import { EmailMessage } from "cloudflare:email";
import { within } from "./clock";
import { randomId } from "./encoding";
import type { Edge } from "./environment";
import { log, reasonOf } from "./log";

export interface Alert {
  /** Constant name, for whoever reads the webhook by program. */
  readonly event: "origin_failing" | "origin_recovered" | "message_held";
  /** One line of ASCII: the mail's subject, and the webhook's `text`. */
  readonly text: string;
}

/** Subrequests of one alert. */
export const ALERT_COST = 2;

/** Send an alert by every channel there is. Returns whether somebody was told, or nobody is to be. Never throws. */
export async function send(alert: Alert, edge: Edge): Promise<boolean> {
  const { ALERT_WEBHOOK: webhook, ALERT_MAIL: mail, ALERT_MAIL_FROM: from, ALERT_MAIL_TO: to } = edge.env;
  const channels: Record<string, Promise<void>> = {};
  if (webhook) channels["webhook"] = post(webhook, alert, edge);
  if (mail && from && to) channels["mail"] = sendMail(mail, from, to, alert, edge);

  const names = Object.keys(channels);
  if (names.length === 0) log.warning("alert_without_channel", { alert: alert.event, text: alert.text });
  const outcomes = await Promise.allSettled(
    Object.values(channels).map((sent) => within(edge.deadlines.alertMs, "the alert", sent)),
  );
  for (const [at, outcome] of outcomes.entries()) {
    const fields = { alert: alert.event, channel: names[at] ?? "" };
    if (outcome.status === "fulfilled") log.info("alert_sent", fields);
    else log.error("alert_failed", { ...fields, error: reasonOf(outcome.reason) });
  }
  return names.length === 0 || outcomes.some(({ status }) => status === "fulfilled");
}

async function post(webhook: string, alert: Alert, edge: Edge): Promise<void> {
  const response = await fetch(webhook, {
    method: "POST",
    redirect: "manual",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ source: "homeport-edge", at: Math.floor(edge.now() / 1000), ...alert }),
    signal: AbortSignal.timeout(edge.deadlines.alertMs),
  }).catch(() => null); // what it says may quote the address, which is a secret
  if (!response) throw new Error("the webhook does not answer");
  await response.body?.cancel();
  if (!response.ok) throw new Error(`the webhook answered ${response.status}`);
}

async function sendMail(mail: SendEmail, from: string, to: string, alert: Alert, edge: Edge): Promise<void> {
  const lines = [
    `From: Homeport <${from}>`,
    `To: <${to}>`,
    `Subject: [Homeport] ${alert.text}`,
    `Date: ${new Date(edge.now()).toUTCString().replace("GMT", "+0000")}`,
    `Message-ID: <${randomId()}@${from.slice(from.lastIndexOf("@") + 1)}>`,
    "Auto-Submitted: auto-generated",
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=us-ascii",
    "",
    `${alert.text}.`,
    "",
    "Said by the Email Worker, which watches the workstation from outside. Mail is retained at the edge meanwhile.",
    "",
  ];
  await mail.send(new EmailMessage(from, to, lines.join("\r\n")));
}
