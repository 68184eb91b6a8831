// Where this chat is served: by several nodes, of which any will do.
export { nodes } from "/nodes.js";

// A door is known to one node only.
export const hasPasswords = false;

// Who somebody is has to be known on all nodes: the key makes this page its user there, the name is what others are shown.
const KEY = "sockeye-chat.key";

export function credential(name) {
  const bytes = new TextEncoder().encode(JSON.stringify({ key: key(), name }));
  const base64 = btoa(String.fromCharCode(...bytes));
  return base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

// Of this tab: another one is somebody else.
let own = null;

function key() {
  try { own ??= sessionStorage.getItem(KEY); } catch { /* private mode */ }
  own ??= [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  try { sessionStorage.setItem(KEY, own); } catch { /* for this page, then */ }
  return own;
}
