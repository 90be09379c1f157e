// Watching a chat: one stream that comes back by itself where it broke off.
import { ask, Refused } from "./ask.js";
import { readEvents } from "./event_stream.js";
import { eventsPath } from "./paths.js";
import { waitAwhile } from "./wait.js";

/**
 * Watch a chat until the returned function is called.
 *
 * before()        awaited before each try
 * onOpen()        the stream stands (again); what was missed while it did not is about to come, or to be read
 * onEvent(event)  each event once: what we have seen is named to the server as Last-Event-ID
 * onLost(error)   the stream could not be had; another try follows by itself, unless the server refused
 */
export function watchChat(chatId, { after = null, before, onOpen, onEvent, onLost }) {
  const stop = new AbortController();
  run(chatId, after, stop.signal, { before, onOpen, onEvent, onLost });
  return () => stop.abort();
}

async function run(chatId, after, signal, { before, onOpen, onEvent, onLost }) {
  let lastId = after;
  for (let failures = 0; !signal.aborted; ) {
    let wishS = 0;
    try {
      await before();
      const headers = { Accept: "text/event-stream", ...(lastId === null ? {} : { "Last-Event-ID": lastId }) };
      const response = await ask("GET", eventsPath(chatId), { headers, signal });
      if (signal.aborted) return;
      failures = 0;
      onOpen();
      for await (const event of readEvents(response)) {
        if (signal.aborted) return;
        if (event.id) lastId = event.id;
        onEvent(event);
      }
    } catch (error) {
      if (signal.aborted) return;
      failures += 1;
      wishS = error.retryAfterS ?? 0;
      onLost(error);
      if (error instanceof Refused && error.status !== 429) return;
    }
    await waitAwhile(failures, signal, wishS * 1000);
  }
}
