"""Where the CPU goes: py-spy samples the server and the worker while `whole_job` runs (`python -m bench --profile`).

Own time by function of Python; what a C function takes is its caller's. The sampling itself slows both down: read the
shares, not the figures beside them.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

from bench.measure import Say
from bench.place import OUT, PYTHON
from bench.rig import Rig

VENV = OUT / "tools-venv"
PY_SPY = "py-spy==0.4.2"
SAMPLES_PER_S = 200
TOP = 25


def profile_processes(rig: Rig, *, seconds: float, say: Say) -> None:
    """Sample server and worker at the same time, and print the functions that take the most."""
    ensure_py_spy(say)
    spying: list[tuple[str, Path, subprocess.Popen[bytes]]] = []
    for name, pid in (("server", rig.process.pid), *(("worker", pid) for pid in rig.workers())):
        out = OUT / f"profile-{name}.txt"
        command = [str(VENV / "bin" / "py-spy"), "record", "--pid", str(pid), "--format", "raw", "--function"]
        command += ["--rate", str(SAMPLES_PER_S), "--duration", f"{seconds:.0f}", "--output", str(out)]
        spying.append(
            (name, out, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        )
    for name, out, process in spying:
        if process.wait() != 0:
            raise RuntimeError(
                f"py-spy could not sample the {name}: it needs ptrace (root, or kernel.yama.ptrace_scope=0)"
            )
        say(f"{name}, the {TOP} functions with the most own time (all of it in {out}):")
        for line in table_of(out.read_text()):
            say(line)


def ensure_py_spy(say: Say) -> None:
    if (VENV / "bin" / "py-spy").exists():
        return
    say(f"installing {PY_SPY} into {VENV} (once)")
    uv = str(Path(PYTHON).parent / "uv")
    subprocess.run(
        [uv, "venv", "--no-config", "--quiet", "--clear", "--python", PYTHON, str(VENV)], check=True
    )
    subprocess.run(
        [uv, "pip", "install", "--no-config", "--quiet", "--python", str(VENV / "bin" / "python"), PY_SPY],
        check=True,
    )


def table_of(stacks: str) -> list[str]:
    """Lines of `own %  with callees %  function`, from py-spy's folded stacks."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        own[frames[-1]] += int(count)
        for frame in set(frames):
            whole[frame] += int(count)
    total = sum(own.values()) or 1
    return [
        f"  {n / total:6.1%} own {whole[frame] / total:6.1%} in all  {_short(frame)}"
        for frame, n in own.most_common(TOP)
    ]


def _short(frame: str) -> str:
    for part in ("site-packages/", "lib/python3.11/", "/src/"):
        frame = (
            frame.replace(frame[frame.find("(") + 1 : frame.find(part) + len(part)], "")
            if part in frame
            else frame
        )
    return frame
