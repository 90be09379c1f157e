"""The articles of the two demo agents, which ride in the package."""

from __future__ import annotations

from importlib.resources import files

from a1zap.kit.errors import NotFound


def load_demo_articles(handle: str) -> list[tuple[str, str]]:
    """Title and Markdown content of each article of the demo agent `harbor` or `byte`, in their order.

    Raises:
        NotFound: there is no such demo agent.
    """
    folder = files("a1zap.knowledge") / "demo"
    handles = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    if handle not in handles:
        raise NotFound(f"no demo agent '{handle}': there are {', '.join(handles)}")
    texts = [entry for entry in (folder / handle).iterdir() if entry.name.endswith(".md")]
    articles: list[tuple[str, str]] = []
    for entry in sorted(texts, key=lambda entry: entry.name):
        title, _, content = entry.read_text("utf-8").partition("\n")
        articles.append((title.removeprefix("# ").strip(), content.strip() + "\n"))
    return articles
