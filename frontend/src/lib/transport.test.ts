import { afterEach, expect, test, vi } from "vitest";

import { createClientConfig } from "./transport";

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test("what a page asks long after its user's last key or click is no activity", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  const sent: boolean[] = [];
  vi.stubGlobal("fetch", (request: Request) => {
    sent.push(request.headers.has("Homeport-Background"));
    return Promise.resolve(new Response("{}"));
  });
  const ask = async (): Promise<unknown> => createClientConfig({}).fetch?.("http://localhost/api/operations");
  dispatchEvent(new KeyboardEvent("keydown"));
  await ask();
  vi.advanceTimersByTime(61_000);
  await ask();
  dispatchEvent(new Event("pointerdown"));
  await ask();
  expect(sent).toEqual([false, true, false]);
});
