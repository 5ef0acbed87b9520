"""Processes end with the one that started them, however that one ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parent.parent
POOL = """
    import os, sys, time
    from pathlib import Path
    from ftkit.experiments.recording import processes

    def stay(folder):
        (Path(folder) / str(os.getpid())).touch()
        time.sleep(60)

    if __name__ == "__main__":
        with processes(2) as pool:
            list(pool.map(stay, [sys.argv[1]] * 2))
"""
PARENT = """
    import subprocess, sys
    code = "import os, time; from pathlib import Path; from ftkit.processes import end_with_parent;"
    code += "end_with_parent(); Path(os.sys.argv[1], str(os.getpid())).touch(); time.sleep(60)"
    subprocess.run([sys.executable, "-c", code, sys.argv[1]])
"""


def alive(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize(("script", "children"), [(POOL, 2), (PARENT, 1)])
def test_a_killed_process_leaves_no_children(
    script: str, children: int, how: signal.Signals, tmp_path: Path
) -> None:
    file, started = tmp_path / "starts.py", tmp_path / "started"
    started.mkdir()
    file.write_text(dedent(script))
    process = subprocess.Popen(
        [sys.executable, str(file), str(started)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 60
        while len(list(started.iterdir())) < children:
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        numbers = [int(path.name) for path in started.iterdir()]
        assert all(map(alive, numbers))
        os.kill(process.pid, how)
        process.wait()
        until = time.monotonic() + 5
        while any(map(alive, numbers)) and time.monotonic() < until:
            time.sleep(0.05)
        assert not any(map(alive, numbers))
    finally:
        for path in started.iterdir():
            if alive(int(path.name)):
                os.kill(int(path.name), signal.SIGKILL)


def test_make_ends_what_it_started() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for command in ("-m ftkit.lessons", "ftkit lab"):
        assert f"{command} --end-with-parent" in makefile
