import { queryOptions } from "@tanstack/react-query";

import * as api from "@/api/sdk.gen";
import type { PolicyView, Role, SecondFactorView, SessionView } from "@/api/types.gen";
import { BACKGROUND } from "@/lib/transport";

import type { CredentialDocument } from "./passkey";

export type { Role, SecondFactorView, SessionView };

export type Factor = "passkey" | "totp" | "password";

export const sessionQuery = queryOptions({
  queryKey: ["session"],
  queryFn: ({ signal }) => api.readSession({ signal, headers: BACKGROUND }),
  staleTime: 60_000,
  refetchInterval: 60_000,
});

export const policyQuery = queryOptions({
  queryKey: ["policy"],
  queryFn: ({ signal }): Promise<PolicyView> => api.readPolicy({ signal }),
  staleTime: Infinity,
});

export const setUp = (body: { token: string; name: string; password: string }): Promise<SessionView> => api.setUp({ body });
export const acceptInvitation = (body: { token: string; password: string }): Promise<SessionView> => api.acceptInvitation({ body });
export const login = (body: { name: string; password: string }): Promise<SessionView | SecondFactorView> => api.login({ body });
export const loginWithTotp = (body: { login: string; code: string }): Promise<SessionView> => api.loginWithTotp({ body });
export const loginWithRecoveryCode = (body: { login: string; code: string }): Promise<SessionView> => api.loginWithRecoveryCode({ body });
export const logout = (): Promise<unknown> => api.logout();

export interface Challenge<Options> {
  challenge_id: string;
  options: Options;
}

export interface Answer {
  challenge_id: string;
  credential: CredentialDocument;
}

// The generated types know of credentials only that they are objects; their form is WebAuthn's own.
export const passkeyLoginOptions = async (): Promise<Challenge<PublicKeyCredentialRequestOptionsJSON>> =>
  (await api.askForPasskey()) as unknown as Challenge<PublicKeyCredentialRequestOptionsJSON>;
export const passkeyStepUpOptions = async (): Promise<Challenge<PublicKeyCredentialRequestOptionsJSON>> =>
  (await api.askForOwnPasskey()) as unknown as Challenge<PublicKeyCredentialRequestOptionsJSON>;
export const loginWithPasskey = ({ challenge_id, credential }: Answer): Promise<SessionView> => api.loginWithPasskey({ body: { challenge_id, credential } });

export type Proof = { password: string } | { totp: string } | Answer;

export const stepUp = async (proof: Proof): Promise<SessionView> =>
  (await api.stepUp({ body: proof })) as SessionView; // a ticket only over the admin socket
