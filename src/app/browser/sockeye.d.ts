/** What an event carries. */
export type Payload = Record<string, unknown>;

export interface Options {
  /**
   * Who this is, offered as the subprotocol `bearer.TOKEN`. A function is asked for each connection, so that a new one can be
   * had after close code 4401; with a string 4401 is the end.
   */
  token?: string | (() => string | Promise<string>);
  /** Subprotocols to offer. Default: none, or `["sockeye.v1"]` beside a token, for a browser wants one chosen. */
  protocols?: string | string[];
  /** How the server's route writes messages. Default: "envelope". */
  codec?: "envelope" | "tagged";
  /** Waits between connections: random, up to `firstMs` (default 1,000), doubled each time (each round of the URLs) up to `maxMs` (default 30,000). */
  backoff?: { firstMs?: number; maxMs?: number };
  /** Events that may wait for the server's acknowledgement, sent or not. Default: 256. */
  queueMax?: number;
  /** Their bytes as JSON. Default: 1 MiB. */
  queueBytesMax?: number;
  /** How long a request waits for its answer. Default: 30,000. */
  requestTimeoutMs?: number;
  /** How long a connection may take until there is a session. Default: 15,000. */
  connectTimeoutMs?: number;
  /** A connection silent for so long is asked whether it lives, and given up when it is silent for 10 s more. Default: 25,000; 0: never. */
  heartbeatMs?: number;
  /**
   * The session goes on in the next page of this tab (a reload, a link), kept under this key of `sessionStorage` from the end
   * of one page to the beginning of the next. Default: not. Whatever script runs in the page can read it there, and browsers
   * write it to the disk: whoever has the token has the session.
   */
  sessionStorageKey?: string;
  /** A WebSocket to use instead of the global one: the one of npm's `ws`, say. */
  WebSocket?: new (url: string, protocols: string[]) => SocketLike;
  /** For tests: 0 <= random() < 1. */
  random?: () => number;
  /** For tests: another time. */
  clock?: { setTimeout(run: () => void, ms: number): unknown; clearTimeout(id: unknown): void; now(): number };
}

/** What is used of a WebSocket. */
export interface SocketLike {
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(text: string): void;
  close(code?: number): void;
}

export type State = "connecting" | "open" | "reconnecting" | "closed";

/** What handlers of "sys.state" are told. */
export interface StateChange {
  state: State;
  /** When open: whether the session of before goes on. */
  restored?: boolean;
  /** When reconnecting: how long the wait is. */
  waitMs?: number;
  /** How the connection before ended. */
  code?: number | null;
  reason?: string;
}

/**
 * What handlers of "sys.gap" are told: the session is lost, and a new one follows. What they send goes first there. With the reason
 * "stored" the session itself goes on, in its rooms, from what a store had of it when its server died: what was sent last may be
 * missing, and what is not acknowledged goes again and may be handled twice.
 */
export interface Gap {
  /** "unknown", "expired", "history_lost" (the server's), "protocol_error" (the counts did not fit), "stored" (the session goes on). */
  reason: string;
  /** The session that is lost, or goes on. */
  sessionId: string;
  /** Events that the server may have had or not. They are not sent again; those never sent are. */
  uncertain: { event: string; payload: Payload | undefined }[];
}

/** What is known of an event beside its payload. */
export interface Context {
  event: string;
  /** The correlation id. */
  id?: string;
  /** Milliseconds since 1970, where the server tells. */
  time?: number;
}

/** What the other side answered instead of an answer, or why there is none. */
export class EventError extends Error {
  constructor(code: number, message: string, more?: { recoverable?: boolean; reason?: string; errors?: FieldError[] });
  /** Of the protocol or the application. 408 (reason "timeout"), 410 ("session_lost"), 429 ("queue_full") and 499 ("closed") are also the client's own. */
  code: number;
  recoverable: boolean;
  reason?: string;
  /** What is wrong with which field, after 422. */
  errors?: FieldError[];
}

export interface FieldError {
  /** A JSON pointer into the payload. */
  field: string;
  rule: string;
  message: string;
}

/** A session with the server, whatever happens to its connections. */
export class Client {
  constructor(url: string | URL | (string | URL)[], options?: Options);
  /** "closed" is for good. */
  readonly state: State;
  /** Where it is connected, or connects next: one of the URLs that it was given, made absolute. */
  readonly url: string;
  /** It outlives connections. */
  readonly session: { readonly id: string; readonly userId: string | null } | null;
  /** How many of our events are not acknowledged yet. */
  readonly queued: number;
  on(event: "sys.state", handler: (change: StateChange) => void): () => void;
  on(event: "sys.gap", handler: (gap: Gap) => void): () => void;
  /** An error that answers no request. */
  on(event: "sys.error", handler: (error: EventError, context: Context) => void): () => void;
  /** What the handler returns answers a request of the server. Returns what takes the handler off again. */
  on<P = Payload>(event: string, handler: (payload: P, context: Context) => unknown): () => void;
  /** Throws an EventError 429 where the queue is full, 499 after the end. */
  send(event: string, payload?: object): void;
  /** Rejects with an EventError. */
  request<A = Payload>(event: string, payload?: object, options?: { timeoutMs?: number }): Promise<A>;
  /** Milliseconds to the server and back. */
  ping(options?: { timeoutMs?: number }): Promise<number>;
  /** Connects at once where it waits for its next attempt. */
  retry(): void;
  /** Waits until everything that was sent is acknowledged. */
  flushed(): Promise<void>;
  /** Ends the session. What is not acknowledged is dropped. */
  close(): void;
}

/**
 * Connects, and stays connected until `close()` or until the server says that there is no way back.
 *
 * Several URLs are those of the servers of one application. They are tried in turn, beginning with the first (shuffle a list that
 * many clients have alike), or with the one where the last page's session was. A connection that falls is looked for where it was,
 * then elsewhere; a server that goes away or has no place (1001, 1012, 1013) is left for the next at once. Waits double from one
 * round to the next, and the long one after 1012 and 1013 is for when all have been tried. An origin that is not the page's has to
 * be among those that the server takes, and in the page's `Content-Security-Policy`.
 */
export function connect(url: string | URL | (string | URL)[], options?: Options): Client;
