// The button that changes light for dark and back.
import { messages } from "./messages.js";

const system = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : system.matches;
}

export function wireThemeButton(button) {
  const label = () => {
    button.textContent = isDark() ? messages.to_light : messages.to_dark;
  };
  button.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try {
      // What the system says anyway need not be remembered: then the page follows the system again.
      if ((theme === "dark") === system.matches) localStorage.removeItem("a1zap.theme");
      else localStorage.setItem("a1zap.theme", theme);
    } catch {
      // Not remembered, where storage is forbidden.
    }
    label();
  });
  system.addEventListener("change", label);
  label();
}
