import { queryOptions } from "@tanstack/react-query";

import * as api from "@/api/sdk.gen";
import type { AccountView, OpenSessionView, PasskeyView, RecoveryCodes, TotpEnrolment } from "@/api/types.gen";
import type { Answer, Challenge } from "@/lib/passkey";

export type { OpenSessionView, PasskeyView, TotpEnrolment };

export const accountQuery = queryOptions({
  queryKey: ["account"],
  queryFn: ({ signal }): Promise<AccountView> => api.readAccount({ signal }),
});

export const changePassword = (body: { current: string; new: string }): Promise<unknown> => api.changePassword({ body });
export const beginTotp = (): Promise<TotpEnrolment> => api.beginTotp();
export const confirmTotp = (body: { enrolment: string; code: string }): Promise<RecoveryCodes> => api.confirmTotp({ body });
export const removeTotp = (): Promise<unknown> => api.removeTotp();
export const passkeyOptions = async (): Promise<Challenge<PublicKeyCredentialCreationOptionsJSON>> =>
  (await api.askForNewPasskey()) as unknown as Challenge<PublicKeyCredentialCreationOptionsJSON>; // WebAuthn's own form
export const addPasskey = ({ challenge_id, credential, name }: Answer & { name: string }): Promise<RecoveryCodes> =>
  api.addPasskey({ body: { challenge_id, credential, name } });
export const removePasskey = (passkey_id: string): Promise<unknown> => api.removePasskey({ path: { passkey_id } });
export const newRecoveryCodes = (): Promise<RecoveryCodes> => api.renewRecoveryCodes();
export const endSession = (session_id: string): Promise<unknown> => api.endSession({ path: { session_id } });
export const endOtherSessions = (): Promise<unknown> => api.endOtherSessions();
