"""Writes the pages that say what the code says, those in `PAGES`.

Each is its template in docs/templates/, written by hand, and tables out of the source.

    python docs/generate.py          writes them
    python docs/generate.py --check  exits with 1 when one is not up to date
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from trie.config import CommandConfig, RunConfig
from trie.config.setting import Setting, settings_of
from trie.engines.catalog import ENGINES
from trie.metrics.definitions import SECTIONS, Metric, Part, Section, declared
from trie.metrics.verdict import CONDITIONS

DOCS = Path(__file__).parent
SOURCE = DOCS.parent / "trie"
TESTS = DOCS.parent / "tests"

GROUPS = {  # the first part of a key, and the heading of its table
    "": "The run",
    "workload": "Workload",
    "endpoint": "Endpoint",
    "endpoint.tls": "TLS of the endpoint",
    "concurrency": "Concurrency",
    "load": "Load",
    "client": "The client",
    "cluster": "Several machines",
    "prompts": "Prompts",
    "limits": "Limits of the verdict",
    "sim": "The embedded endpoint",
}


def fields(source: Path, name: str) -> Iterator[tuple[str, str, str, str]]:
    """Name, type, default and comment of each field of a dataclass of a module."""
    text = source.read_text()
    lines = text.splitlines()
    owner = next(node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == name)
    for node in owner.body:
        if not isinstance(node, ast.AnnAssign):
            continue
        _, _, comment = lines[node.lineno - 1].partition("  # ")
        above = lines[node.lineno - 2].strip()
        if not comment and above.startswith("# "):
            comment = above[2:]
        default = ast.unparse(node.value) if node.value is not None else ""
        yield ast.unparse(node.target), ast.unparse(node.annotation), default, comment


def table(*rows: tuple[str, ...]) -> str:
    head, *body = (" | ".join(cell.replace("|", "or") for cell in row) for row in rows)
    rule = " | ".join("---" for _ in rows[0])
    return "\n".join(f"| {line} |" for line in (head, rule, *body))


def head(name: str) -> str:
    return (DOCS / "templates" / f"{name}.md").read_text().rstrip()


def configuration() -> str:
    settings = list(settings_of(CommandConfig))
    of_runs = {setting.key for setting in settings_of(RunConfig)}
    parts = [head("configuration")]
    for group, title in GROUPS.items():
        chosen = [setting for setting in settings if setting.key.rpartition(".")[0] == group and setting.key in of_runs]
        parts.append(f"## {title}\n\n{settings_table(chosen)}")
    of_sweeps = [setting for setting in settings if setting.key not in of_runs]
    parts.append(f"## The sweep\n\n{settings_table(of_sweeps)}")
    names = ", ".join(f"`{setting.key}`" for setting in settings if not setting.rule.measured)
    parts.append(
        "## What does not change the measurement\n\n"
        f"Runs that differ in these alone count as the same cell of a sweep, and `trie compare` ignores them: {names}."
    )
    return "\n\n".join(parts) + "\n"


def settings_table(settings: list[Setting]) -> str:
    rows = [
        (f"`{setting.key}`", setting.type_name, setting.default_text, setting.allowed, setting.rule.doc)
        for setting in settings
    ]
    return table(("key", "type", "default", "allowed", "meaning"), *rows)


def metrics() -> str:
    parts = [head("metrics")]
    for section in SECTIONS:
        over = f", over {section.over}" if section.over else ""
        parts += [f"## {section.title}{over}", metrics_table(section)]
        if any(part.definition for part in section.parts):
            parts.append(parts_table(f"{section.key}.*", section.parts))
        own = [(metric, tuple(part for part in metric.parts or () if part.definition)) for metric in declared(section)]
        parts += [
            f"Numbers of `{metric.path}`:\n\n{parts_table(metric.path, numbers)}" for metric, numbers in own if numbers
        ]
    return "\n\n".join([*parts, head("summary")]) + "\n"


def metrics_table(section: Section) -> str:
    return table(
        ("label", "key", "unit", "shown in", "better", "definition", "origin"), *map(metric_row, declared(section))
    )


def metric_row(metric: Metric) -> tuple[str, ...]:
    origin = "reference" if metric.reference else "ours"
    key = metric.path.replace("{part}", "*")
    return metric.name, f"`{key}`", metric.unit, metric.display.unit, metric.better or "", metric.definition, origin


def parts_table(path: str, parts: tuple[Part, ...]) -> str:
    rows = [(part.label, f"`{path}.{part.key}`", part.definition) for part in parts if part.definition]
    return table(("name", "key", "definition"), *rows)


def checks() -> str:
    rows = [(f"`{check.id}`", check.level, check.holds, check.fails) for check in CONDITIONS]
    return f"{head('checks')}\n\n{table(('id', 'level', 'title when it is ok', 'title when it fails'), *rows)}\n"


FIGURES = {  # of an engine's counters, as the report names them
    "prompt_tokens": "prompt tokens",
    "cached_tokens": "of them cached",
    "completion_tokens": "completion tokens",
    "requests": "requests",
    "preemptions": "preemptions",
    "queue_s": "queue",
    "ttft_s": "TTFT",
    "itl_s": "between tokens",
    "e2e_s": "latency",
}


def engine_catalog() -> str:
    """What trie/engines/catalog/ declares of each engine."""
    signs = [("engine", "dialect", "recognised by", "context in /v1/models", "requests in flight")]
    for engine in ENGINES:
        words = "; ".join(sign.description for sign in engine.all_signs)
        gauges = " + ".join(f"`{engine.metric(gauge)}`" for gauge in engine.gauges_in_flight)
        context = ".".join(engine.listed_context)
        signs.append((engine.name, f"`{engine.dialect}`", words, f"`{context}`" if context else "", gauges))
    counting = [engine for engine in ENGINES if engine.counters is not None]
    counters = [("figure", *(engine.name for engine in counting))]
    for key, label in FIGURES.items():
        names = [getattr(engine.counters, key) for engine in counting]
        listed = [(name,) if isinstance(name, str) and name else name for name in names]
        counters.append((label, *(" + ".join(f"`{name}`" for name in several) for several in listed)))
    parts = [head("engine-catalog"), "## Signs", table(*signs), "## Counters", table(*counters)]
    return "\n\n".join(parts) + "\n"


def records() -> str:
    rows = [("column", "type", "meaning")]
    for name, kind, _, comment in fields(SOURCE / "storage" / "record.py", "RequestRecord"):
        rows.append((f"`{name}`", kind.replace(" | None", " or null"), comment))
    return f"{head('records')}\n\n{table(*rows)}\n\n{faults()}\n"


def faults() -> str:
    """The fault lab's declarations, which its tests hold every row to."""
    sys.path[:0] = [str(TESTS), str(TESTS / "faults")]
    from fault_table import CHAPTERS, TWO  # of the tests

    parts = [head("faults")]
    for chapter in CHAPTERS:
        rows = [("what happens", "outcome", "http_status", "attempts", "and in the row")]
        for fault in chapter.faults:
            kind = f"failed: `{fault.error_kind}`" if fault.error_kind else "ok"
            others = ", ".join(f"`{name}` {'null' if value is None else value}" for name, value in fault.row.items())
            others = "both tokens and the usage" if fault.row == TWO else others
            status = "null" if fault.status is None else str(fault.status)
            others = ", ".join(filter(None, (others, f"{len(fault.calls)} tool calls" if fault.calls else "")))
            rows.append((fault.what.replace("<", "&lt;"), kind, status, str(fault.attempts), others))
        parts.append(f"### {chapter.title}\n\n{table(*rows)}")
    return "\n\n".join(parts)


PAGES = {
    "configuration.md": configuration,
    "metrics.md": metrics,
    "checks.md": checks,
    "records.md": records,
    "engine-catalog.md": engine_catalog,
}


def main() -> int:
    stale = [name for name, page in PAGES.items() if not (DOCS / name).exists() or (DOCS / name).read_text() != page()]
    if "--check" in sys.argv:
        for name in stale:
            print(f"docs/{name} is not up to date: run python docs/generate.py")
        return int(bool(stale))
    for name in stale:
        (DOCS / name).write_text(PAGES[name]())
    return 0


if __name__ == "__main__":
    sys.exit(main())
