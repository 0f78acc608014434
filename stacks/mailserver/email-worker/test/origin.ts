/** The client of origin-server.mjs: an origin of one's own for each test, what it shall answer, what it has heard. */

import { inject } from "vitest";

declare module "vitest" {
  interface ProvidedContext {
    originControl: string;
  }
}

/** See origin-server.mjs. */
export interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly delayMs?: number;
  readonly fault?: "hang" | "reset" | "refuse" | "half" | "stall" | "endless";
}

export interface Script {
  readonly messages?: readonly Answer[];
  readonly health?: readonly Answer[];
  readonly pages?: Readonly<Record<string, Answer>>;
  readonly byMessage?: Readonly<Record<string, readonly Answer[]>>;
}

export interface Heard {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly size: number;
  readonly sha256: string;
  /** Base64; null for a long one. */
  readonly body: string | null;
  readonly isComplete: boolean;
}

export class ScriptedOrigin {
  private constructor(
    readonly url: string,
    private readonly path: string,
  ) {}

  static async open(script: Script = {}): Promise<ScriptedOrigin> {
    const { url, control } = (await call("POST", "/", script)) as { url: string; control: string };
    return new ScriptedOrigin(url, control);
  }

  async play(script: Script): Promise<void> {
    await call("PUT", this.path, script);
  }

  /** Every request so far, oldest first. */
  async heard(): Promise<Heard[]> {
    return (await call("GET", this.path)) as Heard[];
  }

  /** The ids of the messages posted so far, oldest first. */
  async posted(): Promise<string[]> {
    const heard = await this.heard();
    return heard
      .filter(({ path }) => path === "/v1/messages")
      .map(({ headers }) => headers["homeport-message-id"] ?? "");
  }

  async down(): Promise<void> {
    await call("POST", `${this.path}/down`);
  }

  async up(): Promise<void> {
    await call("POST", `${this.path}/up`);
  }
}

async function call(method: string, path: string, body?: unknown): Promise<unknown> {
  const init = { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
  const response = await fetch(inject("originControl") + path, init);
  if (!response.ok) throw new Error(`scripted origin: ${await response.text()}`);
  return response.json();
}

// -- answers ----------------------------------------------------------------------------------------------------------

export const JSON_TYPE = { "Content-Type": "application/json" };
export const PROBLEM_TYPE = { "Content-Type": "application/problem+json" };
export const HTML_TYPE = { "Content-Type": "text/html; charset=utf-8" };

export const HEALTHY: Answer = { headers: JSON_TYPE, body: '{"status":"ok","queue":{"length":0,"oldest_s":null}}' };
export const LOGIN_PAGE: Answer = { headers: HTML_TYPE, body: "<html><title>Sign in</title></html>" };

export function receipt(status: "delivered" | "queued" | "held" = "delivered", changed: object = {}): Answer {
  const document = { status, message_id: "{message_id}", sha256: "{sha256}", queue_id: null, ...changed };
  return { status: status === "delivered" ? 200 : 202, headers: JSON_TYPE, body: JSON.stringify(document) };
}

/** A problem document of ours; `changed` adds or replaces members. */
export function problem(status: number, slug: string, changed: object = {}): Answer {
  const document = { type: `/problems/${slug}`, title: slug, status, message_id: "{message_id}", ...changed };
  return { status, headers: PROBLEM_TYPE, body: JSON.stringify(document) };
}

export const SMTP = { code: 550, enhanced: "5.1.1", text: "Mailbox does not exist" };
