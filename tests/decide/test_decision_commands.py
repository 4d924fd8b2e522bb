"""`trie -m search=capacity` and `trie ab` as they are typed, in virtual time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.command_line import in_this_process

from trie.cli.commands import ab
from trie.cli.secrets import Keys

VIRTUAL = ("clock=virtual", "workload=qa-synthetic", "html=false", "progress=none")


@pytest.mark.slow
def test_a_search_finds_the_capacity_and_resumes(tmp_path: Path) -> None:
    """A step of 10 ms and 1 ms for each further request: 20 ms a token from 11 active requests on."""
    search = (
        "-m", "search=capacity", "slo=tpot_s<0.02@p50", "concurrency=4..32", *VIRTUAL, "duration=3600",
        "sim.decode_base_s=0.01", "sim.decode_per_request_s=0.001", "hydra.sweep.dir=found",
    )  # fmt: skip
    done = in_this_process(tmp_path, *search)
    assert done.returncode == 0, done.stderr
    assert "capacity" in done.stdout
    assert done.stdout.splitlines()[-1] == "found"
    content = json.loads((tmp_path / "found" / "capacity.json").read_text())
    tier = content["searches"][""]["tiers"][""]
    loads = {load["load"]: load["answers"][""] for load in content["searches"][""]["loads"]}
    assert tier["passes"] < tier["fails"]
    assert loads[tier["passes"]] == "yes"
    assert loads[tier["fails"]] == "no"
    assert (tmp_path / "found" / "capacity.html").exists()
    again = in_this_process(tmp_path, *search)
    assert "done before" in again.stderr + again.stdout or "cell 1 of the search" not in again.stderr
    assert json.loads((tmp_path / "found" / "capacity.json").read_text()) == content


@pytest.mark.slow
def test_each_product_of_a_search_keeps_its_page_when_it_is_resumed(tmp_path: Path) -> None:
    search = (
        "-m", "search=capacity", "slo=failed<50%", "concurrency=1..2", *VIRTUAL, "duration=20",
        "sim.decode_base_s=0.01,0.02", "hydra.sweep.dir=found",
    )  # fmt: skip
    for _ in range(2):
        done = in_this_process(tmp_path, *search)
        assert done.returncode == 0, done.stderr
        pages = {path.name: path.read_text() for path in (tmp_path / "found").glob("capacity*.html")}
        assert set(pages) == {"capacity-1.html", "capacity-2.html"}
        assert "sim.decode_base_s=0.01" in pages["capacity-1.html"]
        assert "sim.decode_base_s=0.02" in pages["capacity-2.html"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("concurrency=4..8",), "must be set with slo=..."),
        (("slo=failed<1%", "concurrency=4,8"), "takes a range of loads"),
        (("slo=failed<1%", "concurrency=9..8"), "must go up"),
        (("slo=failed<1%", "concurrency=4..8", "repeats=2"), "measures each load once"),
        (("slo=failed<1%", "concurrency=4..8", "plan=true"), "depends on their results"),
    ],
)
def test_a_search_without_an_answer_is_refused_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], problem: str
) -> None:
    done = in_this_process(tmp_path, "-m", "search=capacity", *VIRTUAL, *arguments)
    assert done.returncode == 1
    assert problem in done.stderr
    assert not list(tmp_path.rglob("manifest.json"))


@pytest.mark.slow
def test_a_slower_server_is_found_and_the_exit_code_says_so(tmp_path: Path) -> None:
    arms = ("ab", *VIRTUAL, "concurrency=4", "block=120", "pairs=5", "b.sim.decode_base_s=0.012", "-o", "out")
    done = in_this_process(tmp_path, *arms)
    assert done.returncode == 4, done.stderr
    assert "B is worse than A" in done.stdout
    content = json.loads((tmp_path / "out" / "ab.json").read_text())
    assert content["decision"] == "worse"
    assert content["findings"]["tpot_s"]["low"] > 0.3  # 8.2 to 12.2 ms a step: about half more
    assert [pair["first"] for pair in content["pairs"]] == ["a", "b", "a"]
    assert (tmp_path / "out" / "ab.html").exists()
    for pair in (1, 2, 3):  # the same traces on both sides
        a, b = ((tmp_path / "out" / f"{pair:02d}-{arm}" / "manifest.json").read_text() for arm in "ab")
        assert json.loads(a)["seed"] == json.loads(b)["seed"]


@pytest.mark.slow
def test_the_same_settings_are_equivalent(tmp_path: Path) -> None:
    done = in_this_process(
        tmp_path, "ab", *VIRTUAL, "concurrency=4", "block=120", "a.seed=1", "b.limits.loop_lag_s=1", "-o", "out"
    )
    assert done.returncode == 0, done.stderr
    assert "A and B are equivalent within 2.0 %" in done.stdout
    plan = in_this_process(tmp_path, "ab", "effect=3%", "like=out")
    assert "a difference of 3.0 % is sure after about 3 pairs" in plan.stdout


def test_each_server_gets_its_own_key_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_A", "secret-a")
    monkeypatch.setenv("KEY_OF_B", "secret-b")
    settings = [
        f"{arm}.endpoint.{name}"
        for arm in "ab"
        for name in (f"base_url=http://{arm}/v1", f"api_key_env=KEY_OF_{arm.upper()}")
    ]
    arms = ab._arms(ab._sorted(settings), None, Keys(None))
    assert [(arm.config.endpoint.base_url, arm.api_key) for arm in arms] == [
        ("http://a/v1", "secret-a"),
        ("http://b/v1", "secret-b"),
    ]
    assert "secret" not in repr(arms)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("concurrency=4",), "nothing differs between A and B"),
        (("a.concurrency=4", "margin=0"), "margin=0: must be"),
        (("a.concurrency=4", "metric=ttft"), "metric=ttft: must be one of"),
        (("a.concurrency=4", "pairs=2"), "pairs=2: must be a whole number above 2"),
        (("a.nonsense=4",), "nonsense: no such key"),
        (("effect=3%",), "go together"),
        (("effect=3%", "like=nowhere"), "is no result of trie ab"),
    ],
)
def test_a_mistake_in_a_comparison_is_one_line(tmp_path: Path, arguments: tuple[str, ...], problem: str) -> None:
    done = in_this_process(tmp_path, "ab", *arguments)
    assert done.returncode == 1
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1
