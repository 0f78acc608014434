import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";

import type { ZoneSearch } from "@/lib/zone-search";

import { RecordsFilter } from "./records-filter";
import type { RecordPage } from "./requests";

const PAGE = { types: [], tags: [], matching: 0, total: 0 } as unknown as RecordPage;

afterEach(cleanup);

test("what is typed while the address still follows stays; what is gone back to is shown", async () => {
  const asked: (string | undefined)[] = [];
  const at = (search: ZoneSearch) => <RecordsFilter page={PAGE} search={search} onSearch={(change) => asked.push(change.find)} />;
  const { rerender } = render(at({}));
  const box = screen.getByRole("searchbox");
  const type = (value: string): Promise<void> => act(async () => void fireEvent.change(box, { target: { value } }));
  await type("8");
  await type("84");
  expect(asked).toEqual(["8", "84"]);
  await act(async () => rerender(at({ find: "8" })));
  expect(box).toHaveProperty("value", "84");
  await type("844");
  await act(async () => rerender(at({ find: "844" })));
  expect(box).toHaveProperty("value", "844");
  expect(asked).toEqual(["8", "84", "844"]);
  await act(async () => rerender(at({})));
  expect(box).toHaveProperty("value", "");
  expect(asked).toEqual(["8", "84", "844"]);
});
