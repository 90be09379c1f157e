// Waiting before another try: longer each time, cut short when the network comes back or somebody presses a key for it.

const LONGEST_MS = 15_000;
const wakers = new Set();

/** Every waiting try goes out now. */
export function tryNow() {
  for (const wake of [...wakers]) wake();
}

addEventListener("online", tryNow);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) tryNow();
});

/** Wait after the nth failure in a row (0: a stream that ended in peace), or `atLeastMs`. */
export function waitAwhile(failures, signal, atLeastMs = 0) {
  const ms = Math.max(atLeastMs, Math.min(LONGEST_MS, 500 * 2 ** Math.max(0, failures - 1)) * (0.75 + Math.random() / 2));
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      wakers.delete(wake);
      signal?.removeEventListener("abort", wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    // A server that named a time is not asked before it.
    if (atLeastMs === 0) wakers.add(wake);
    signal?.addEventListener("abort", wake, { once: true });
  });
}
