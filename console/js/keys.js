// The key of this tab: a page token or an API key, in session storage, never in the address.

const NAME = "colloquy.key";

/** Takes `#token=…` out of the address bar and history, so that no link or screenshot shows it. */
export function takeTokenFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given === null) return;
  if (given) keepKey(given);
  history.replaceState(history.state, "", location.pathname + location.search);
}

export function currentKey() {
  try {
    return sessionStorage.getItem(NAME);
  } catch {
    return null; // storage is switched off
  }
}

export function keepKey(key) {
  try {
    sessionStorage.setItem(NAME, key.trim());
  } catch {
    // Without storage the key cannot be kept; the gateway will ask again.
  }
}
