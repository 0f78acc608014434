/**
 * The Email Worker: Cloudflare hands it a message, it hands the message to the mail API, or keeps it until that
 * answers.
 *
 * The promise is in three sentences. A sender hears "no" only where the mail API said so finally, or where a fresh
 * list says that there is no such mailbox. A message that was accepted is in the mailbox server, in the spool or in
 * R2. And what is in R2 stays there until the mail API has given a receipt for it. The contract is wire.md; what
 * lies in R2: docs/design/edge.md.
 */

import { DEADLINES, type Edge, type Env } from "./environment";
import { receive } from "./receive";
import { route } from "./routes";
import { tick } from "./tick";

function edgeOf(env: Env, context: ExecutionContext): Edge {
  return { env, deadlines: DEADLINES, now: Date.now, waitUntil: (promise) => context.waitUntil(promise) };
}

export default {
  email: (message, env, context) => receive(message, edgeOf(env, context)),
  scheduled: (_controller, env, context) => tick(edgeOf(env, context)),
  fetch: (request, env, context) => route(request, edgeOf(env, context)),
} satisfies ExportedHandler<Env>;
