// Where this chat is served. The example `cluster` has its own.
export const nodes = [{ name: "", url: "/chat" }];
export const hasPasswords = true;
export const credential = undefined; // whoever comes is a guest
