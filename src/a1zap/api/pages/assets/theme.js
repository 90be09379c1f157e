// A classic script in the head: the chosen theme stands before anything is painted.
(() => {
  try {
    const chosen = localStorage.getItem("a1zap.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage may be forbidden; then the system's theme holds.
  }
})();
