import "./styles.css";

import { QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { makeRouter } from "./app/router";
import { sessionQuery } from "@/lib/session";
import { startLanguages } from "./lib/language";
import { isProblem } from "./lib/problem";

const client: QueryClient = new QueryClient({
  queryCache: new QueryCache({
    onError: (error) => {
      if (isProblem(error, "login-required")) void client.invalidateQueries({ queryKey: sessionQuery.queryKey });
    },
  }),
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // Once more after what may pass: no answer, or a cookie that a step-up has just replaced.
      retry: (count, error) => count < 1 && (isProblem(error, "unreachable") || isProblem(error, "login-required")),
    },
    mutations: { networkMode: "always" },
  },
});

const element = document.getElementById("root");
if (!element) throw new Error("index.html has no #root");
await startLanguages();
createRoot(element).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <RouterProvider router={makeRouter()} />
    </QueryClientProvider>
  </StrictMode>,
);
