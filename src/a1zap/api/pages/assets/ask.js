// Asking the server. Whose move is it, and does trying again help? The two errors below answer that.

const PATIENCE_MS = 20_000;

/** The server said no. `status` and `detail` are its own words (problem+json); trying again as it stands is no use. */
export class Refused extends Error {
  constructor(status, detail, retryAfterS = null) {
    super(detail);
    this.status = status;
    this.retryAfterS = retryAfterS;
  }
}

/** Nobody answers, or somebody in between says "not now". Trying again later may help. */
export class Away extends Error {
  constructor(detail, retryAfterS = null) {
    super(detail);
    this.retryAfterS = retryAfterS;
  }
}

/** The response, once its head is here and it is a yes. Raises Refused or Away. */
export async function ask(method, path, { body, headers = {}, signal, patienceMs = PATIENCE_MS } = {}) {
  const giveUp = new AbortController();
  const timer = setTimeout(() => giveUp.abort(), patienceMs);
  const stop = () => giveUp.abort();
  signal?.addEventListener("abort", stop, { once: true });
  const sent = body === undefined ? headers : { "Content-Type": "application/json", ...headers };
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: { Accept: "application/json", ...sent },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: giveUp.signal,
      cache: "no-store",
      credentials: "same-origin",
    });
  } catch (error) {
    throw new Away(String(error));
  } finally {
    clearTimeout(timer);
  }
  if (response.ok) return response;
  signal?.removeEventListener("abort", stop);
  throw await refusal(response);
}

export async function askJson(method, path, options) {
  const response = await ask(method, path, options);
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch (error) {
    throw new Away(String(error));
  }
}

async function refusal(response) {
  const problem = await response.json().catch(() => ({}));
  const detail = problem.detail ?? problem.error ?? problem.title ?? `HTTP ${response.status}`;
  const header = Number(response.headers.get("Retry-After"));
  const retryAfterS = header > 0 ? header : (problem.retry_after_s ?? null);
  return response.status >= 500 ? new Away(detail, retryAfterS) : new Refused(response.status, detail, retryAfterS);
}

/** The address of the next page, out of the `Link` header; null on the last. */
export function nextPage(response) {
  const link = response.headers.get("Link") ?? "";
  const found = /<([^>]+)>\s*;[^,]*rel="?next"?/.exec(link);
  if (!found) return null;
  const address = new URL(found[1], location.href);
  return address.pathname + address.search;
}
