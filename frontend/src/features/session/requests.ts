import * as api from "@/api/sdk.gen";
import type { SecondFactorView, SessionView } from "@/api/types.gen";
import type { Answer, Challenge } from "@/lib/passkey";

export type { SecondFactorView };

export const setUp = (body: { token: string; name: string; password: string }): Promise<SessionView> => api.setUp({ body });
export const acceptInvitation = (body: { token: string; password: string }): Promise<SessionView> => api.acceptInvitation({ body });
export const login = (body: { name: string; password: string }): Promise<SessionView | SecondFactorView> => api.login({ body });
export const loginWithTotp = (body: { login: string; code: string }): Promise<SessionView> => api.loginWithTotp({ body });
export const loginWithRecoveryCode = (body: { login: string; code: string }): Promise<SessionView> => api.loginWithRecoveryCode({ body });
export const logout = (): Promise<unknown> => api.logout();

// The generated types know of credentials only that they are objects; their form is WebAuthn's own.
export const passkeyLoginOptions = async (): Promise<Challenge<PublicKeyCredentialRequestOptionsJSON>> =>
  (await api.askForPasskey()) as unknown as Challenge<PublicKeyCredentialRequestOptionsJSON>;
export const passkeyStepUpOptions = async (): Promise<Challenge<PublicKeyCredentialRequestOptionsJSON>> =>
  (await api.askForOwnPasskey()) as unknown as Challenge<PublicKeyCredentialRequestOptionsJSON>;
export const loginWithPasskey = ({ challenge_id, credential }: Answer): Promise<SessionView> => api.loginWithPasskey({ body: { challenge_id, credential } });

export type Proof = { password: string } | { totp: string } | Answer;

export const stepUp = async (proof: Proof): Promise<SessionView> =>
  (await api.stepUp({ body: proof })) as SessionView; // a ticket only over the admin socket
