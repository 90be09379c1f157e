"""Docs that can be wrong are tests."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = sorted(p.name for p in (ROOT / "src/a1zap").iterdir() if p.is_dir() and (p / "__init__.py").exists())


def test_the_settings_page_says_what_the_settings_are():
    script = runpy.run_path(str(ROOT / "scripts/write-settings-page"))
    assert (ROOT / "docs/settings.md").read_text() == script["page"](), "run: make settings"


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_stands_on_the_plan_of_the_house(room: str):
    plan = (ROOT / "docs/architecture.md").read_text().split("```")[1]
    assert re.search(rf"\b{room}\b", plan), f"docs/architecture.md does not show the room '{room}'"


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_says_in_one_sentence_what_it_is_for(room: str):
    lines = (ROOT / "src/a1zap" / room / "__init__.py").read_text().strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith('"""') and lines[0].endswith('."""')


def test_every_room_has_a_floor():
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0][
        "layers"
    ]
    on_floors = {room.strip() for floor in layers for room in floor.split("|")}
    assert set(ROOMS) <= on_floors


def test_every_dependency_is_explained_and_pinned_exactly():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    page = (ROOT / "docs/dependencies.md").read_text()
    for dependency in declared:
        name, pin, version = dependency.partition("==")
        assert pin and version, f"{dependency} is not pinned"
        assert f"| {name} |" in page, f"docs/dependencies.md does not explain {name}"


def test_dependencies_with_known_holes_stay_above_their_floors():
    """Advisories that matter to us, kept offline: pip-audit is silent where it cannot look."""
    floors = {"pyjwt": (2, 13, 0), "starlette": (1, 3, 1)}
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    pins = dict(d.split("==") for d in declared)
    for name, floor in floors.items():
        assert tuple(int(part) for part in pins[name].split(".")) >= floor, name


def test_the_readmes_commands_exist():
    readme = (ROOT / "README.md").read_text()
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"^make (\w+)", readme, re.MULTILINE):
        assert target in targets, f"README speaks of 'make {target}'"
    for path in re.findall(r"\]\((?!http)([^)#]+)\)", readme):
        assert (ROOT / path).exists(), f"README links to '{path}'"


def test_decisions_are_numbered_once():
    numbers = [p.name[:4] for p in (ROOT / "docs/decisions").glob("*.md")]
    assert len(numbers) == len(set(numbers)) > 0


def test_no_function_is_longer_than_a_screen():
    import ast

    too_long: list[str] = []
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and node.end_lineno - node.lineno >= 70
            ):
                too_long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert too_long == []


def test_the_repository_tells_nothing_of_the_machine_it_was_written_on():
    tracked = subprocess.run(
        ["git", "grep", "-nIE", r"/wor[k]/|/root/\.pyenv", "--", ".", ":!*.lock"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert tracked.stdout == ""


def test_the_apis_description_is_fresh():
    written = subprocess.run(
        [sys.executable, "-m", "a1zap.cli", "openapi"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (ROOT / "docs/openapi.json").read_text() == written.stdout, "run: make openapi"
