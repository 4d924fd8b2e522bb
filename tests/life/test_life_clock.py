"""The wall clock may jump: nothing that is measured knows it."""

from __future__ import annotations

import ast
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.run_process import run

import trie

WALL = {
    "time.time",
    "time.time_ns",
    "time.localtime",
    "time.gmtime",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
}
STATED = {
    "cli/sweeper.py": 1,
    "preflight/new_manifest.py": 2,
    "api.py": 1,
    "endpoint/headers.py": 1,  # a Retry-After that is a date
    "report/progress.py": 2,  # when a run is expected to end
    "storage/run_lock.py": 1,  # whether a file is recent, where locks tell nothing
    "cli/commands/ab.py": 1,  # the name of its directory
}  # for people: until when a sweep lasts; when a run began; the name of its directory


def wall_clock_reads(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in WALL:
            yield ast.unparse(node)
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (f"time.{name.name}" for name in node.names if f"time.{name.name}" in WALL)


def test_no_duration_is_taken_from_the_wall_clock() -> None:
    package = Path(trie.__file__).parent
    found = {file.relative_to(package).as_posix(): len(list(wall_clock_reads(file))) for file in package.rglob("*.py")}
    assert {name: count for name, count in found.items() if count} == STATED


TURNED_BACK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long back(void) { return access(getenv("TURN_BACK"), F_OK) ? 0 : 3600; }
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec -= back();
    return done;
}
time_t time(time_t *seconds) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return seconds ? (*seconds = now.tv_sec) : now.tv_sec;
}
int gettimeofday(struct timeval *restrict of_day, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    of_day->tv_sec = now.tv_sec;
    of_day->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""  # sets back the wall clock of one process, once a file is there, and leaves every other clock alone


@pytest.mark.slow
def test_clock_that_is_set_back_an_hour_changes_nothing(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    (tmp_path / "clock.c").write_text(TURNED_BACK)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", "clock.so", "clock.c", "-ldl"], cwd=tmp_path, check=True)
    sign = tmp_path / "turn-back"
    fake = {"LD_PRELOAD": str(tmp_path / "clock.so"), "TURN_BACK": str(sign)}
    with run(tmp_path, "profile=fast", "duration=3", "concurrency=4", **fake) as turned_back:
        turned_back.under_way()
        sign.touch()
        assert turned_back.ended() == (0, "")
    log = (turned_back.directory / "trie.log").read_text().splitlines()
    assert log[-1][:13] < log[0][:13], "the clock of the run was set back"
    # What an hour would do to a duration is seen on any machine, however slow.
    rows = turned_back.rows().records().to_pandas()
    end = turned_back.rows().manifest()["end"]
    assert end["reason"] == "deadline"
    assert 3.0 <= end["wall_time_s"] < 60.0
    assert rows.end_s.between(0.0, 60.0).all()
    assert (rows.end_s >= rows.sent_s).all()
    assert rows.loop_lag_s.max() < 60.0
