import { queryOptions } from "@tanstack/react-query";

import * as api from "@/api/sdk.gen";
import type { InvitedUser, NewToken, NewTokenForm, Role, TokenView, UserView } from "@/api/types.gen";

export type { Role, TokenView, UserView };

export const ROLES = ["viewer", "operator", "admin"] as const satisfies readonly Role[];

export const usersQuery = queryOptions({ queryKey: ["users"], queryFn: ({ signal }) => api.listUsers({ signal }) });
export const tokensQuery = queryOptions({ queryKey: ["tokens"], queryFn: ({ signal }) => api.listTokens({ signal }) });

export const inviteUser = (body: { name: string; role: Role }): Promise<InvitedUser> => api.createUser({ body });
export const changeUser = ({ user_id, ...body }: { user_id: string; role?: Role; is_disabled?: boolean }): Promise<unknown> => api.changeUser({ path: { user_id }, body });
export const resetUser = (user_id: string): Promise<InvitedUser> => api.resetUser({ path: { user_id } });
export const endUserSessions = (user_id: string): Promise<unknown> => api.endUserSessions({ path: { user_id } });
export const deleteUser = ({ id, name }: UserView): Promise<unknown> => api.deleteUser({ path: { user_id: id }, query: { typed_name: name } }); // Confirm has had it typed

export const createToken = (body: NewTokenForm): Promise<NewToken> => api.createToken({ body });
export const deleteToken = (token_id: string): Promise<unknown> => api.deleteToken({ path: { token_id } });
