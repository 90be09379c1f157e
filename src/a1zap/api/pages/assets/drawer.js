// On a narrow screen the list at the side is a drawer over the page.

/** Wire the drawer; the returned `close` is safe to call when it is not open. */
export function wireDrawer(drawer, page, opener, closer) {
  const isOpen = () => document.body.classList.contains("side-open");
  const set = (open) => {
    document.body.classList.toggle("side-open", open);
    opener.setAttribute("aria-expanded", String(open));
    page.inert = open;
  };
  const close = () => {
    if (!isOpen()) return;
    set(false);
    opener.focus();
  };
  opener.addEventListener("click", () => {
    set(true);
    closer.focus();
  });
  closer.addEventListener("click", close);
  drawer.addEventListener("click", (event) => {
    if (event.target.closest("a")) close();
  });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
  matchMedia("(max-width: 800px)").addEventListener("change", (change) => {
    if (!change.matches && isOpen()) set(false);
  });
  return { close };
}
