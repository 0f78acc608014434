/**
 * The local edge's front: a Worker beside the Email Worker that plays Cloudflare's part in front of it.
 *
 * Every request to the local edge arrives here. A message is handed to the Email Worker's `email()` as it is, byte for
 * byte, whatever it looks like: unlike the trigger that wrangler has built in, nothing is parsed, so that a null
 * sender, a NUL, or a message without a Message-ID arrive too. What each route takes and gives stands in edge.mjs.
 */

const text = (status, body) => new Response(`${body}\n`, { status });

/** `setReject` comes back from the Email Worker by RPC and may arrive after `email()` has returned. */
const letRepliesArrive = () => scheduler.wait(0);

async function email(request, env, query) {
  const raw = new Uint8Array(await request.arrayBuffer());
  let reject = null;
  const message = {
    from: query.get("from") ?? "",
    to: query.get("to") ?? "",
    headers: new Headers(), // the Email Worker decides nothing by them
    raw: new Response(raw).body,
    rawSize: raw.length,
    setReject: (reason) => {
      reject = reason;
    },
  };
  try {
    await env.TARGET.email(message);
    await letRepliesArrive();
    return Response.json({ outcome: "ok", reject, error: null });
  } catch (error) {
    await letRepliesArrive();
    return Response.json({ outcome: "exception", reject, error: String(error) });
  }
}

async function list(request, env, query) {
  const objects = [];
  let cursor;
  do {
    const page = await env.RETAINED.list({ prefix: query.get("prefix") ?? "", cursor, include: ["customMetadata"] });
    for (const { key, size, customMetadata } of page.objects) objects.push({ key, size, metadata: customMetadata });
    cursor = page.truncated ? page.cursor : undefined;
  } while (cursor);
  return Response.json(objects);
}

const METADATA = "Homeport-Local-Metadata";

async function getObject(request, env, query) {
  const object = await env.RETAINED.get(query.get("key"));
  if (!object) return text(404, "no such object");
  return new Response(object.body, { headers: { [METADATA]: JSON.stringify(object.customMetadata) } });
}

async function putObject(request, env, query) {
  const customMetadata = JSON.parse(request.headers.get(METADATA) ?? "{}");
  await env.RETAINED.put(query.get("key"), await request.arrayBuffer(), { customMetadata });
  return text(200, "put");
}

async function deleteObject(request, env, query) {
  await env.RETAINED.delete(query.get("key"));
  return text(200, "deleted");
}

async function putValue(request, env, query) {
  await env.RECIPIENTS.put(query.get("key"), await request.text());
  return text(200, "put");
}

async function deleteValue(request, env, query) {
  await env.RECIPIENTS.delete(query.get("key"));
  return text(200, "deleted");
}

/** What only the process around workerd can do. */
const host = (request, env) => env.HOST.fetch(request);

const ROUTES = {
  "POST /email": email,
  "POST /scheduled": host,
  "GET /retained": list,
  "GET /object": getObject,
  "PUT /object": putObject,
  "DELETE /object": deleteObject,
  "PUT /kv": putValue,
  "DELETE /kv": deleteValue,
  "GET /sent": host,
};

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname.startsWith("/worker/")) {
      url.pathname = url.pathname.slice("/worker".length);
      return env.TARGET.fetch(new Request(url, request));
    }
    const route = ROUTES[`${request.method} ${url.pathname}`];
    if (!route) return text(404, `no such route; there are:\n${Object.keys(ROUTES).join("\n")}\nANY /worker/*`);
    try {
      return await route(request, env, url.searchParams);
    } catch (error) {
      return text(500, String(error)); // of the local edge: a binding that this edge was started without, a bad key
    }
  },
};
