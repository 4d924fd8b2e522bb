"""An engine that does not exist is added as a real one is: a declaration, a file of conf/endpoint, and nothing else."""

from __future__ import annotations

import json
import logging
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers.scripted_server import DONE, END, HEAD, Script, chunked, event, plain_response, playing
from rich.console import Console

from trie.config import (
    ConcurrencyConfig,
    EndpointConfig,
    ProgressStyle,
    PromptConfig,
    RunConfig,
    WorkloadConfig,
    shipped_groups,
)
from trie.engines import catalog
from trie.engines.declaration import Answer, CounterNames, Engine, Facts, JsonAnswer, OwnedBy
from trie.errors import EndpointError
from trie.run import Result, execute_async
from trie.workload.trace import Trace, Workload

DOCS = Path(__file__).parents[2] / "docs"


def _tiny_facts(answer: Answer) -> dict[str, Any]:
    value = answer.json
    return {"lanes": value["lanes"]} if isinstance(value, dict) else {}


TINY = Engine(
    dialect="tiny",
    name="Tiny Server",
    signs=(JsonAnswer("/who", lambda value: "lanes" in value, "has lanes", "release"), OwnedBy(("tiny-people",))),
    listed_context=("limits", "window"),
    facts=Facts(("/who",), _tiny_facts),
    metrics_prefix="tiny",
    gauges_in_flight=("busy",),
    counters=CounterNames(
        prompt_tokens=("words_in",),
        cached_tokens=("words_from_cache",),
        completion_tokens=("words_out",),
        requests=("answers",),
        ttft_s="first_word_seconds",
    ),
)
SETTINGS = """# An engine that only a test knows.
name: tiny
base_url: http://localhost:1/v1
ignore_eos: null
max_tokens_field: max_words
cached_tokens_field: words.cached
cache_flag: --count-cached
"""
FIRST_WORD_S = 0.25  # in its histogram, for each answer


class TinyServer:
    """Speaks as the declaration and the settings say, and as no other engine: it refuses what others are sent."""

    def __init__(self) -> None:
        self.words_in = self.words_cached = self.words_out = self.answers = 0

    def answer(self, request: bytes) -> Script:
        method, route, _ = request.split(b" ", 2)
        if method == b"POST":
            return self._complete(json.loads(request.partition(b"\r\n\r\n")[2]))
        bodies: dict[bytes, Any] = {
            b"/v1/models": {"data": [{"id": "t", "owned_by": "tiny-people", "limits": {"window": 4000}}]},
            b"/who": {"lanes": 3, "release": "1.5"},
        }
        if route == b"/metrics":
            return (plain_response("200 OK", self._metrics()),)
        if route not in bodies:
            return (plain_response("404 Not Found", b"{}"),)
        return (plain_response("200 OK", json.dumps(bodies[route]).encode()),)

    def _complete(self, body: dict[str, Any]) -> Script:
        if "ignore_eos" in body or "max_tokens" in body:
            return (plain_response("422 No", b'{"detail": "unknown fields"}'),)
        words_in, words_out = len(body["prompt"].split()), body["max_words"]
        cached = words_in // 2
        self.words_in += words_in
        self.words_cached += cached
        self.words_out += words_out
        self.answers += 1
        usage = {"prompt_tokens": words_in, "completion_tokens": words_out, "words": {"cached": cached}}
        if not body.get("stream"):
            answer = {"choices": [{"text": " a" * words_out, "finish_reason": "length"}], "usage": usage}
            return (plain_response("200 OK", json.dumps(answer).encode()),)
        words = event(" a") * (words_out - 1) + event(" a", '"length"')
        last = b'data: {"choices":[],"usage":%b}\n\n' % json.dumps(usage).encode()
        return (HEAD + chunked(words + last + DONE) + END,)

    def _metrics(self) -> bytes:
        counters = {
            "words_in": self.words_in,
            "words_from_cache": self.words_cached,
            "words_out": self.words_out,
            "answers": self.answers,
        }
        lines = [f"# TYPE tiny:{name} counter\ntiny:{name} {value}" for name, value in counters.items()]
        lines += ["# TYPE tiny:busy gauge", 'tiny:busy{lane="0"} 0']
        lines += ["# TYPE tiny:first_word_seconds histogram"]
        lines += [f'tiny:first_word_seconds_bucket{{le="{bound}"}} {self.answers}' for bound in ("0.5", "+Inf")]
        lines += [f"tiny:first_word_seconds_sum {FIRST_WORD_S * self.answers}"]
        lines += [f"tiny:first_word_seconds_count {self.answers}"]
        return "\n".join([*lines, ""]).encode()


@pytest.fixture
def tiny_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(shipped_groups.CONF, conf)
    (conf / "endpoint" / "tiny.yaml").write_text(SETTINGS)
    monkeypatch.setattr(shipped_groups, "CONF", conf)
    monkeypatch.setattr(catalog, "ENGINES", (*catalog.ENGINES, TINY))


async def replayed(url: str, folder: Path) -> Result:
    """Two traces of one request each: prompts of 50 and 33 tokens, answers of 5 and 3."""
    traces = [Trace(50, (), (), (), 5, row=0), Trace(33, (), (), (), 3, row=1)]
    config = RunConfig(
        workload=WorkloadConfig(path="w.jsonl"),
        # The default, which is read from the catalog when the module is imported: too early for this test.
        endpoint=EndpointConfig(base_url=url, load_keys=catalog.load_keys()),
        concurrency=ConcurrencyConfig(1),
        prompts=PromptConfig(pool_tokens=1 << 14),
        progress=ProgressStyle.none,
        max_traces=2,
        max_retries=0,
        duration=60.0,
    )
    return await execute_async(config, folder, workload=Workload("w", traces, "a test", "0" * 64))


@pytest.mark.usefixtures("tiny_is_known")
async def test_a_new_engine_is_detected_spoken_to_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "trie")
    async with playing(TinyServer().answer) as (url, _):
        result = await replayed(url, tmp_path / "run")
    assert "server is Tiny Server 1.5 (certain: /who has lanes, models owned by tiny-people, /metrics" in caplog.text
    assert "from conf/endpoint/tiny.yaml: ignore_eos=null, max_tokens_field=max_words, " in caplog.text
    server = result.manifest["server"]
    dialect = server["dialect"]
    assert (dialect["name"], dialect["found"], dialect["version"]) == ("tiny", "tiny", "1.5")
    assert dialect["taken"]["max_tokens_field"] == "max_words"
    assert (server["facts"], server["max_model_len"], server["in_flight_before"]) == ({"lanes": 3}, 4000, 0)
    account = json.loads((tmp_path / "run" / "summary.json").read_text())["engine"]
    assert account["name"] == "tiny"
    expected = {"prompt_tokens": 83.0, "cached_tokens": 41.0, "completion_tokens": 8.0, "requests": 2.0}
    assert {key: account["counted"][key] for key in expected} == expected
    assert {account["difference"][key] for key in expected} == {0.0}
    assert account["counted"]["ttft_s"] == FIRST_WORD_S
    assert 'tiny:first_word_seconds_bucket{le="0.5"}' in result.manifest["end"]["engine"]["counters"]
    console = Console(record=True, width=200)
    result.show(console)
    shown = " ".join(console.export_text().split())
    assert "engine Tiny Server 1.5 counted 83 prompt tokens (rows: 83)" in shown
    assert "Tiny Server 1.5 counted" in (tmp_path / "run" / "report.html").read_text()


async def test_without_its_declaration_it_is_not_known_and_its_refusal_ends_the_run(tmp_path: Path) -> None:
    async with playing(TinyServer().answer) as (url, _):
        with pytest.raises(EndpointError, match="prompt lengths: HTTP 422"):
            await replayed(url, tmp_path / "run")


@pytest.mark.parametrize("engine", catalog.ENGINES, ids=lambda engine: engine.dialect)
def test_an_engine_has_its_settings_and_its_page(engine: Engine) -> None:
    settings = shipped_groups.load("endpoint", engine.dialect)
    assert settings["name"] == engine.dialect
    command = re.compile(rf"^(\w+=\S+ )?trie endpoint={engine.dialect}\b", re.MULTILINE)
    assert command.search((DOCS / "engines.md").read_text()), "docs/engines.md has no section with its command"


def test_a_file_of_settings_has_its_engine() -> None:
    assert {engine.dialect for engine in catalog.ENGINES} == set(shipped_groups.names("endpoint"))


def test_engines_share_no_name() -> None:
    for names in (
        [engine.dialect for engine in catalog.ENGINES],
        [engine.metrics_prefix for engine in catalog.ENGINES if engine.metrics_prefix is not None],
        catalog.load_keys(),
    ):
        assert len(names) == len(set(names))
