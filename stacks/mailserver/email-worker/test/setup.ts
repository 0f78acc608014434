import { afterEach } from "vitest";
import { emptyStores } from "./edge";

afterEach(emptyStores);
