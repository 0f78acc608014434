import { expect, test } from "vitest";

import { addCommand, removeCommand } from "./command-lines";

test("the command that adds a domain says all that was chosen, each as one word of a shell", () => {
  expect(addCommand({ domain: "例え.example", mailbox: "postmaster" })).toBe("homeport domain add '例え.example'");
  expect(addCommand({ domain: "", mailbox: "post master", replace_mail: true, adopt: true })).toBe("homeport domain add example.org --mailbox 'post master' --replace-mail --adopt");
  expect(removeCommand("a;b")).toBe("homeport domain remove 'a;b'");
});
