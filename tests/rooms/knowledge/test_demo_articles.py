from __future__ import annotations

import pytest

from a1zap.kit.errors import NotFound
from a1zap.knowledge.demo_articles import load_demo_articles
from a1zap.knowledge.passages import split_passages


@pytest.mark.parametrize("handle", ["harbor", "byte"])
def test_a_demo_agent_has_articles_with_titles_and_content(handle):
    articles = load_demo_articles(handle)
    assert len(articles) >= 8
    assert len({title for title, _ in articles}) == len(articles)
    for title, content in articles:
        assert title and not title.startswith("#") and len(content) > 200
        assert len(split_passages(title, content)) > 5


def test_an_unknown_demo_agent_is_named_with_those_there_are():
    with pytest.raises(NotFound, match="no demo agent 'nobody': there are byte, harbor"):
        load_demo_articles("nobody")


def test_a_handle_cannot_leave_the_folder():
    with pytest.raises(NotFound):
        load_demo_articles("../demo/byte")
