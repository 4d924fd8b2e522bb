"""Gates on runs whose truth is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.known_servers import Server, written

from trie.cli.commands.gate import main
from trie.decide.gate import Gated, gate, read_rules
from trie.errors import ConfigError


def judged(folder: Path, rules: str, target: Path, baseline: Path | None = None) -> Gated:
    path = folder / "gate.yaml"
    path.write_text(rules)
    return gate(target, read_rules(path), baseline)


def outcomes(gated: Gated) -> dict[str, str]:
    return {ruling.rule: ruling.outcome for ruling in gated.rulings}


def test_limits_objectives_and_the_verdict(tmp_path: Path) -> None:
    run = written(tmp_path / "a")
    rules = "limits: ['requests_failed_share <= 0%', 'traces.completed > 1000']\nslo: 'request_ttft_s<1000@max'\n"
    assert outcomes(judged(tmp_path, rules, run)) == {
        "valid": "passed",
        "requests_failed_share <= 0%": "passed",
        "traces.completed > 1000": "failed",
        "slo request_ttft_s<1000@max": "passed",
    }


def test_margins_fail_where_it_is_worse_by_more_than_noise(tmp_path: Path) -> None:
    a = written(tmp_path / "a", Server(noise=0.0))
    b = written(tmp_path / "b", Server(noise=0.0, step_s=0.0125))  # a fifth slower to decode
    rules = "valid: false\nmargins: {decode_tps.p50: 10%, tpot_s.p50: 50%}\n"
    assert outcomes(judged(tmp_path, rules, b, a)) == {
        "decode_tps.p50 within 10%": "failed",
        "tpot_s.p50 within 50%": "passed",
    }
    assert set(outcomes(judged(tmp_path, rules, a, a)).values()) == {"passed"}


def test_what_is_not_sure_passes_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    run = written(tmp_path / "a")
    rules = "valid: false\nslo: 'latency_s<1000@p99'\n"
    unsure = judged(tmp_path, rules, run)
    assert outcomes(unsure) == {"slo latency_s<1000@p99": "unsure"}
    assert not unsure.failed
    assert judged(tmp_path, f"{rules}unsure: fail\n", run).failed


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ("", "must have some of the keys limits, slo, margins, valid, unsure"),
        ("limit: []", "limit: no such key"),
        ("limits: 'ttft_s'", "limits: must be a list"),
        ("limits: ['ttft_s.p50 < +5%']", "must be a number of summary.json"),
        ("margins: {ttft_s.p50: 5}", "margins: ttft_s.p50: 5: must be a share such as 5%"),
        ("slo: 'ttft_s<1'", "of which statistic?"),
        ("unsure: maybe", "must be pass or fail"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_mistake_in_the_rules_is_one_line(tmp_path: Path, rules: str, problem: str) -> None:
    with pytest.raises(ConfigError) as raised:
        judged(tmp_path, rules, tmp_path)
    assert str(tmp_path / "gate.yaml") in str(raised.value)
    assert problem in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_margin_on_what_nobody_calls_better_is_refused(tmp_path: Path) -> None:
    run = written(tmp_path / "a")
    with pytest.raises(ConfigError, match="neither higher nor lower is better"):
        judged(tmp_path, "margins: {cached_prompt_tok_s: 5%}", run, run)
    with pytest.raises(ConfigError, match="need a baseline"):
        judged(tmp_path, "margins: {ttft_s.p50: 5%}", run)


def test_the_command_exits_with_4_and_prints_markdown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, rules = written(tmp_path / "a"), tmp_path / "rules.yaml"
    rules.write_text("valid: false\nlimits: ['traces.completed > 1000']\n")
    assert main([str(run), "--rules", str(rules), "--markdown"]) == 4
    assert "| failed |  | traces.completed &gt; 1000 |" in capsys.readouterr().out
    rules.write_text("valid: false\nlimits: ['traces.completed > 1']\n")
    assert main([str(run), "--rules", str(rules)]) == 0
    assert capsys.readouterr().out.endswith("PASSED\n")
