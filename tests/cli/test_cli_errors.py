"""A mistake is answered in one line that tells what is allowed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from trie.cli import errors, main


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("worklod=agentic", "worklod: no such key; did you mean workload?"),
        ("duraton=3", "duraton: no such key; did you mean duration?"),
        ("endpoint.apii=chat", "endpoint.apii: no such key; did you mean endpoint.api?"),
        ("endpont.api=chat", "endpont.api: no such key; did you mean endpoint.api?"),
        ("qqq=1", "qqq: no such key; trie help lists the keys"),
        ("duration=abc", "duration=abc: must be a number above 0 (seconds)"),
        ("progress=fancy", "progress=fancy: must be one of auto, rich, plain, none"),
        ("workload=agentc", "workload=agentc: no such workload; did you mean agentic?"),
        ("workload=null", "workload=null: no such workload"),
        ("endpoint=foo", "endpoint=foo: no such endpoint"),
        ("request_rate=4", "request_rate: no such key; trie help lists the keys"),
        ("base_url=http://h", "base_url: no such key; did you mean endpoint.base_url?"),
        ("sim=3", "sim=3: is a group of settings; set them one by one, such as sim.profile"),
        ("help nix", "nix: no such key"),
        ("concurrency=0", "available: 8, 16, 24, 32, 40, 48, or any number from 1 up"),
        ("concurrency=1.5", "concurrency=1.5: no such concurrency"),
        ("-m concurrency=2,x", "concurrency=x: no such concurrency"),
        ("experiment=./nix.yaml", "./nix.yaml: No such file or directory"),
        ("a=b=c", "a=b=c: mismatched input"),
        ("reprot x", "reprot: no such command; did you mean report?"),
        ("qqq", "qqq: no such command; trie --help lists the commands"),
        ("report nix", "nix: no such directory; give the directory of a run"),
        ("sim foo=1", "foo=1: is not a setting of the embedded endpoint; use profile=NAME or sim.KEY=VALUE"),
        ("sim sim.fault_rate=4", "sim.fault_rate=4.0: must be from 0 to 1"),
        ("sim profile=nix", "profile=nix: no such profile"),
        ("concurrency=8 report", "report: is not a setting (KEY=VALUE); a command such as report or sim comes first"),
        ("api-key=sk", "api-key: no such key; did you mean api_key?"),
        ("sim --port 99999", "--port 99999: must be between 0 and 65535"),
        ("hydra.run.dir=/dev/null/x", "/dev/null/x: can't make the run directory: Not a directory"),
        ("duration=true", "duration=true: must be a number above 0 (seconds)"),
        ("duration=[1]", "duration=[1]: must be a number above 0 (seconds)"),
        ("duration=null", "duration=null: must be a number above 0 (seconds)"),
        ("duration=1,2", "Ambiguous value for argument 'duration=1,2'"),
        ("num_gpus=1.5", "num_gpus=1.5: must be a whole number, 1 or more, or null"),
        ("stream=maybe", "stream=maybe: must be true or false"),
        ("concurrency=-1", "concurrency=-1: no such concurrency"),
        ("concurrency=true", "no such concurrency"),
        ("endpoint=http://", "no such endpoint"),
        ("endpoint=http://h/v1?key=1", "endpoint.base_url: holds key=(hidden), which would be written down"),
        ("+nope=1", "nope: no such key"),
        ("=1", "=1: no key in front of the ="),
        ("--nope", "unrecognized arguments: --nope"),
        ("report", "outputs/ or multirun/: no run there; give the directory of a run or a sweep"),
        ("report a b", "unrecognized arguments: b"),
        ("sim --port x", "argument --port: invalid int value: 'x'"),
        ("-m --cfg job", "Only one of --run, --multirun, --cfg, --info and --shell_completion can be specified"),
    ],
)
def test_a_mistake_is_one_line(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(line.split()) == 1
    text = capsys.readouterr().err
    assert message in text
    assert text.startswith("trie: ")
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("- a", "mine.yaml"),
        ("just text", "mine.yaml"),
        (b"\xff\xfe\0", "mine.yaml: not YAML"),
        ("x: &a [*a]", "mine.yaml: not a config: it holds itself"),
        ("a: *b", "undefined alias"),
        ("duratoin: 3", "mine.yaml: duratoin: no such key; did you mean duration?"),
        ("duration: soon", "mine.yaml: duration=soon: must be a number above 0 (seconds)"),
        ("duration: null", "mine.yaml: duration=null: must be a number above 0 (seconds)"),
        ("sim: {faults: 3}", "mine.yaml: sim.faults: must be a list of http_429"),
        ("workload: agentic", "mine.yaml: workload=agentic: is a group of settings; set them one by one"),
        ("duration: -3", "duration=-3.0: must be above 0 (seconds)"),
        ("concurrency: 8", "mine.yaml"),
        ("duration: ${oc.env:NIX_4711}", "Environment variable 'NIX_4711' not found"),
        ("duration: ${nix:1}", "duration: Unsupported interpolation type nix"),
        ("duration: ${duration}", "duration: Recursive interpolation detected"),
        ("duration: 1\nduration: 2", "duplicate key"),
    ],
)
def test_experiment_of_another_kind_is_refused_in_one_line(
    body: str | bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(body if isinstance(body, bytes) else body.encode())
    assert main.run([f"experiment={file}"]) == 1
    text = capsys.readouterr().err
    assert message in text
    assert text.startswith("trie: ")
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "mine.jsonl.gz",
            gzip.compress(b"{}", mtime=0),
            "found gzip data, must be JSON lines in UTF-8 (unpack or convert it)",
        ),
        ("folder.jsonl", None, "is a folder, must be a JSONL file"),
        ("long.jsonl", b"x" * 1_000_000, "long.jsonl:1: not a JSON object"),
    ],
)
def test_workload_of_another_kind_is_refused_in_one_line(
    name: str, content: bytes | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is None:
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_bytes(content)
    assert main.run([f"workload={tmp_path / name}", "progress=none", "hydra.run.dir=" + str(tmp_path / "run")]) == 1
    text = capsys.readouterr().err
    assert message in text
    assert len(text.splitlines()) == 1
    assert len(text) < 400


@pytest.mark.parametrize("body", ["api_key: sk-file\n", "endpoint: {api_key: sk-file}\n"])
def test_key_in_a_file_is_refused_with_the_way_to_give_it(
    body: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(body)
    assert main.run([f"experiment={file}"]) == 1
    text = capsys.readouterr().err
    assert "use api_key=... on the command line or OPENAI_API_KEY" in text
    assert "sk-file" not in text
    assert len(text.splitlines()) == 1


def test_file_that_is_no_yaml_is_one_line_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("a: [1\n")
    assert main.run([f"experiment={file}"]) == 1
    text = capsys.readouterr().err
    assert f'"{file}", line 2' in text
    assert len(text.splitlines()) == 1


def test_keys_name_every_leaf_of_the_run_config() -> None:
    known = set(errors.settings())
    assert {
        "duration",
        "workload.path",
        "endpoint.headers",
        "concurrency.value",
        "sim.faults",
        "limits.loop_lag_s",
    } <= (known)
    assert "workload" not in known
