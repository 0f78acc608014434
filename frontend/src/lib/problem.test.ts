import i18next from "i18next";
import { expect, test } from "vitest";

import { isProblem, Problem } from "./problem";
import { problemText } from "./problem-text";

const text = (problem: Problem): { what: string; next: string } => problemText(problem, i18next.t, (key) => i18next.exists(key));

test("a problem is known by its slug, whatever it says of itself", () => {
  const problem = new Problem(409, { type: "/problems/target-busy", title: "Ziel belegt", detail: "blog-nginx is restarting", request_id: "01J", operation: "01K" });
  expect(isProblem(problem, "target-busy")).toBe(true);
  expect(problem.members["operation"]).toBe("01K");
  expect(problem.requestId).toBe("01J");
  expect(text(problem).what).toBe("Another operation is at work on this.");
});

test.each([
  [500, null, "unexpected"],
  [404, "<html>not ours</html>", "unexpected"],
  [502, null, "unreachable"],
  [400, { type: "https://evil.example/problems/login-failed" }, "unexpected"],
  [400, { type: "about:blank" }, "unexpected"],
  [400, ["/problems/x"], "unexpected"],
])("an answer of %i that is no document of ours is no known problem", (status, document, type) => {
  expect(new Problem(status, document).type).toBe(type);
});

test("a type that this page does not know still says something, by its status", () => {
  expect(text(new Problem(503, { type: "/problems/brand-new" })).what).toBe("Something went wrong inside the portal.");
  expect(text(new Problem(409, { type: "/problems/brand-new" })).what).toBe("The answer was not what was expected.");
});

test("the wait that the portal asks for is said in words", () => {
  expect(text(new Problem(429, { type: "/problems/too-many-attempts", retry_after_s: 75 })).next).toBe("Try again in 1m 15s.");
});

test("a named reason has its own sentence, an unknown one the general one", () => {
  const refused = (reason: string): Problem => new Problem(422, { type: "/problems/password-refused", reason });
  expect(text(refused("too-short")).next).toContain("12 characters");
  expect(text(refused("constructor")).next).toBe("Choose another one.");
});

test("a permission that a token lacks is named as on the page where tokens are made", () => {
  const missing = new Problem(502, { type: "/problems/cloudflare-permission-missing", group: "DNS", level: "Write", resource: "zone example.com" });
  expect(text(missing).next).toContain("DNS: Edit for zone example.com");
});

test("no answer at all is a problem of its own", () => {
  expect(text(Problem.unreachable()).what).toBe("The portal cannot be reached.");
});
