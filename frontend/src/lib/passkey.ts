/** Passkeys by the browser's own JSON interface. Both functions return null when the user has dismissed the prompt. */

/** What an authenticator says; its form is WebAuthn's own. */
export type CredentialDocument = Record<string, unknown>;

export interface Challenge<Options> {
  challenge_id: string;
  options: Options;
}

export interface Answer {
  challenge_id: string;
  credential: CredentialDocument;
}

export function arePasskeysAvailable(): boolean {
  return typeof PublicKeyCredential === "function" && "parseRequestOptionsFromJSON" in PublicKeyCredential;
}

export async function askForPasskey(options: PublicKeyCredentialRequestOptionsJSON): Promise<CredentialDocument | null> {
  return settled(navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) }));
}

export async function makePasskey(options: PublicKeyCredentialCreationOptionsJSON): Promise<CredentialDocument | null> {
  return settled(navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) }));
}

async function settled(prompt: Promise<Credential | null>): Promise<CredentialDocument | null> {
  try {
    const credential = await prompt;
    return credential instanceof PublicKeyCredential ? (credential.toJSON() as CredentialDocument) : null;
  } catch (error) {
    // NotAllowedError: dismissed, timed out, or no passkey here; browsers do not tell which
    if (error instanceof DOMException && (error.name === "NotAllowedError" || error.name === "AbortError")) return null;
    throw error;
  }
}
