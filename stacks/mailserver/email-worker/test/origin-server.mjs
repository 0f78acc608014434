/**
 * A scripted mail API on 127.0.0.1, for tests in workerd: real sockets, and every way in which an origin can misbehave.
 *
 * Runs in Node for the whole run (Vitest's globalSetup); `origin.ts` is its client. Each test opens origins of its own
 * on ports of their own, by the control server whose URL is provided as `originControl`:
 *
 *   POST /          body: script            opens an origin: {"url": "http://127.0.0.1:N", "control": "/N"}
 *   PUT /N          body: script            what it answers from now on
 *   GET /N                                  what it heard: [{method, path, headers, size, sha256, body, isComplete}]
 *   POST /N/down    closes the port, its connections too: "down" means that nobody listens
 *   POST /N/up      listens again on the same port
 *
 * A script is {"messages": [answer, ...], "health": [answer, ...], "pages": {path: answer}, "byMessage": {id: [answer,
 * ...]}}. Answers are given in turn, the last one for ever; a path without answers is 404. An answer:
 *
 *   status, headers, body   of the response; {message_id} and {sha256} in the body become the request's
 *   delayMs                 waits before it
 *   fault                   hang     reads the request and never answers
 *                           reset    resets the connection when the request has arrived
 *                           refuse   resets it as soon as the header fields have arrived
 *                           half     sends half of the body, then resets
 *                           stall    sends half of the body, then nothing more
 *                           endless  never stops sending the body
 */

import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { setTimeout as delay } from "node:timers/promises";

const MAX_BODY_KEPT = 64 * 1024; // a longer one is compared by size and digest

/** Number of the origin -> what runs there. */
const origins = new Map();

class Origin {
  script = {};
  heard = [];
  port = 0;

  async listen() {
    this.server = createServer((request, response) => {
      this.answer(request, response).catch(() => response.destroy());
    });
    this.server.keepAliveTimeout = 0; // a connection that the client keeps would outlive a test
    this.server.listen(this.port, "127.0.0.1");
    await once(this.server, "listening");
    this.port = this.server.address().port;
  }

  async close() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  async answer(request, response) {
    const answer = this.next(request);
    const heard = {
      method: request.method,
      path: request.url,
      headers: request.headers,
      size: 0,
      sha256: "",
      body: null,
      isComplete: false,
    };
    this.heard.push(heard);
    if (answer.fault === "refuse") return request.socket.resetAndDestroy();
    await readInto(heard, request);
    if (answer.delayMs) await delay(answer.delayMs);
    return send(response, answer, {
      message_id: request.headers["homeport-message-id"] ?? "",
      sha256: request.headers["homeport-content-sha256"] ?? "",
    });
  }

  next(request) {
    const { messages = [], health = [], pages = {}, byMessage = {} } = this.script;
    const own = byMessage[request.headers["homeport-message-id"]];
    const path = new URL(request.url, "http://origin").pathname;
    const answers = { "/v1/messages": own ?? messages, "/v1/health": health }[path] ?? [pages[path]].filter(Boolean);
    return (answers.length > 1 ? answers.shift() : answers[0]) ?? { status: 404, body: "no such page" };
  }
}

async function readInto(heard, request) {
  const digest = createHash("sha256");
  const chunks = [];
  for await (const chunk of request) {
    digest.update(chunk);
    heard.size += chunk.length;
    if (heard.size <= MAX_BODY_KEPT) chunks.push(chunk);
  }
  heard.sha256 = digest.digest("hex");
  if (heard.size <= MAX_BODY_KEPT) heard.body = Buffer.concat(chunks).toString("base64");
  heard.isComplete = true;
}

async function send(response, { status = 200, headers = {}, body = "", fault }, values) {
  const text = body.replaceAll(/\{(message_id|sha256)\}/g, (_, name) => values[name]);
  if (fault === "hang") return undefined;
  if (fault === "reset") return response.socket.resetAndDestroy();
  if (fault === undefined) return response.writeHead(status, headers).end(text);
  response.writeHead(status, {
    ...headers,
    ...(fault === "endless" ? {} : { "Content-Length": Buffer.byteLength(text) }),
  });
  await new Promise((resolve) => response.write(text.slice(0, text.length / 2), resolve));
  if (fault === "half") return response.socket.resetAndDestroy();
  return fault === "endless" ? writeForEver(response) : undefined;
}

async function writeForEver(response) {
  while (!response.destroyed) {
    const isRoomLeft = response.write(" ".repeat(4096));
    await (isRoomLeft ? delay(0) : Promise.race([once(response, "drain"), once(response, "close")]));
  }
}

async function readJson(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString() || "null");
}

async function control(request) {
  const [, number = "", act = ""] = request.url.split("/");
  if (request.method === "POST" && number === "") {
    const origin = new Origin();
    origin.script = await readJson(request);
    await origin.listen();
    origins.set(String(origin.port), origin);
    return { url: `http://127.0.0.1:${origin.port}`, control: `/${origin.port}` };
  }
  const origin = origins.get(number);
  const verbs = {
    "GET ": () => origin.heard,
    "PUT ": async () => ((origin.script = await readJson(request)), true),
    "POST down": () => origin.close(),
    "POST up": () => origin.listen(),
  };
  return (await verbs[`${request.method} ${act}`]()) ?? true;
}

export default async function setup({ provide }) {
  const server = createServer((request, response) => {
    control(request).then(
      (answer) => response.end(JSON.stringify(answer)),
      (error) => response.writeHead(500).end(String(error)),
    );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  provide("originControl", `http://127.0.0.1:${server.address().port}`);
  return async () => {
    for (const origin of origins.values()) await origin.close().catch(() => undefined);
    server.closeAllConnections();
    server.close();
  };
}
