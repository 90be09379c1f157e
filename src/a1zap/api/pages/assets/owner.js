// The owner's page: sign in; then agents, usage, keys, and a line to try.
import { ask, askJson, Away, Refused } from "./ask.js";
import { byId, el, fillTexts, show } from "./dom.js";
import { messages } from "./messages.js";
import { agentsElement, copyLine, keyItem, usageElements } from "./owner_view.js";
import { wireThemeButton } from "./theme_button.js";
import { refreshTimes } from "./times.js";
import { waitAwhile } from "./wait.js";

let agents = [];

/** Do `work`; what goes wrong is said in `place`. Whether it went well. */
async function told(place, work) {
  show(place, false);
  try {
    await work();
    return true;
  } catch (error) {
    if (!(error instanceof Refused) && !(error instanceof Away)) throw error;
    const isTooOften = error instanceof Refused && error.status === 429;
    place.textContent = error instanceof Away ? messages.server_away : isTooOften ? messages.too_many_tries(error.retryAfterS ?? 1) : error.message;
    show(place, true);
    return false;
  }
}

// ── signing in and out ───────────────────────────────────────────────────────────────────────────────────────────

async function signIn(event) {
  event.preventDefault();
  const body = { email: byId("email").value.trim(), password: byId("password").value };
  byId("sign-in").disabled = true;
  const isIn = await told(byId("sign-in-trouble"), () => ask("POST", "/api/auth/sign-in", { body }));
  byId("sign-in").disabled = false;
  if (!isIn) return byId("password").select();
  byId("password").value = "";
  await start();
}

async function signOut() {
  await told(byId("trouble"), async () => {
    await ask("POST", "/api/auth/sign-out");
    location.reload();
  });
}

// ── what there is ────────────────────────────────────────────────────────────────────────────────────────────────

async function showHome() {
  const [found, usage] = await Promise.all([askJson("GET", "/api/agents?limit=100"), askJson("GET", "/api/usage")]);
  agents = found;
  byId("agents").replaceChildren(...agentsElement(agents));
  const month = new Date(`${usage.month}-15`).toLocaleDateString("en-GB", { month: "long", year: "numeric" });
  byId("plan").textContent = messages.plan(usage.plan.name, month);
  byId("usage").replaceChildren(...usageElements(usage));
  showTry("$A1ZAP_KEY");
  await showKeys();
}

async function showKeys() {
  const keys = await askJson("GET", "/api/keys");
  const living = keys.filter((key) => key.revoked_at === null);
  byId("keys").replaceChildren(...living.map((key) => keyItem(key, () => revoke(key))));
}

function showTry(key) {
  const agent = agents.find((one) => one.status === "active") ?? agents[0];
  const path = agent ? `/api/agents/${agent.id}/chat` : "/api/agents";
  const body = agent ? { message: messages.try_message } : messages.first_agent;
  const line = [
    `curl ${location.origin}${path}`,
    `  -H "Authorization: Bearer ${key}"`,
    `  -H "Content-Type: application/json"`,
    `  -d '${JSON.stringify(body)}'`,
  ].join(" \\\n");
  byId("try").replaceChildren(...(agent ? [] : [el("p", { class: "soft" }, messages.no_agents)]), copyLine(line));
}

async function createKey(event) {
  event.preventDefault();
  await told(byId("key-trouble"), async () => {
    const made = await askJson("POST", "/api/keys", { body: { name: byId("key-name").value.trim() || messages.key_name_default } });
    byId("new-key").replaceChildren(copyLine(made.key), el("p", { class: "soft" }, messages.key_shown_once));
    show(byId("new-key"), true);
    showTry(made.key);
    await showKeys();
  });
}

async function revoke(key) {
  await told(byId("key-trouble"), async () => {
    await ask("DELETE", `/api/keys/${key.id}`);
    await showKeys();
  });
}

// ── beginning ────────────────────────────────────────────────────────────────────────────────────────────────────

async function start() {
  for (let failures = 1; ; failures += 1) {
    let isSignedIn = true;
    const isTold = await told(byId("trouble"), async () => {
      try {
        await askJson("GET", "/api/auth/me");
        await showHome();
      } catch (error) {
        if (!(error instanceof Refused) || error.status !== 401) throw error;
        isSignedIn = false;
      }
    });
    if (isTold) {
      show(byId("signed-in"), isSignedIn);
      show(byId("signed-out"), !isSignedIn);
      show(byId("sign-out"), isSignedIn);
      return;
    }
    await waitAwhile(failures, null);
  }
}

fillTexts(messages);
wireThemeButton(byId("theme"));
byId("key-name").value = messages.key_name_default;
byId("sign-in-form").addEventListener("submit", signIn);
byId("sign-out").addEventListener("click", signOut);
byId("key-form").addEventListener("submit", createKey);
setInterval(refreshTimes, 30_000);
start();
