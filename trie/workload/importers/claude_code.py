"""Claude Code's session files: a line for each part of a conversation, several of which can be of one request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trie.workload.importers import source as files
from trie.workload.importers.fields import Field, nested
from trie.workload.importers.importer import Importer, Source
from trie.workload.importers.session import Call, Session

USAGE = "message.usage"
PROMPT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")  # the prompt is all three
COMPLETION, CACHED = "output_tokens", "cache_read_input_tokens"
TIME = Field(("timestamp",))
SYNTHETIC = "<synthetic>"
SUBAGENTS = "subagents"  # the folder that holds the files of a session's sub-agents


def recognize(row: Mapping[str, Any]) -> str | None:
    """A line with sessionId and a chain of uuids."""
    if "sessionId" in row and ("parentUuid" in row or "uuid" in row or row.get("type") in ("summary", "mode")):
        return "lines with sessionId, uuid and parentUuid"
    return None


@dataclass(slots=True)
class Agent:
    """The requests of a session's main line, or of one sub-agent, as its lines come."""

    calls: list[Call] = field(default_factory=list)
    request: str | None = None  # of the last call
    input_s: float | None = None  # when what the next request sends was there
    compacted: bool = False  # since the last call


def sessions(source: Source) -> Iterator[Session]:
    """A file at a time, with the files of its sub-agents."""
    seen: set[int] = set()  # requests of all files: a session that was gone on with repeats its lines
    for main, subagents in _by_session(files.files(source.path)):
        agents: dict[str, Agent] = {}
        for file in (main, *subagents):
            for _, line in source.objects_of(file):
                _read(line, file, agents, seen, source)
        yield from _sessions(agents)


def _by_session(paths: list[Path]) -> Iterator[tuple[Path, list[Path]]]:
    """Each session's file, with those below the folder of its own name."""
    mains = [path for path in paths if SUBAGENTS not in path.parts]
    below: dict[Path, list[Path]] = {}
    for path in paths:
        if SUBAGENTS in path.parts:
            folder = path.parents[len(path.parts) - 1 - path.parts.index(SUBAGENTS)]
            below.setdefault(folder, []).append(path)
    for main in mains:
        yield main, below.pop(main.with_name(main.name.split(".", 1)[0]), [])
    for orphans in below.values():
        yield orphans[0], orphans[1:]


def _read(line: Mapping[str, Any], file: Path, agents: dict[str, Agent], seen: set[int], source: Source) -> None:
    """Take a line into the agent that it belongs to."""
    agent = agents.setdefault(_agent_key(line, file), Agent())
    kind, moment = line.get("type"), TIME.seconds(line)
    if kind == "user":
        agent.compacted |= bool(line.get("isCompactSummary"))
        agent.input_s = moment
    elif kind == "assistant":
        _answer(line, moment, agent, seen, source)


def _agent_key(line: Mapping[str, Any], file: Path) -> str:
    """Nothing for the main line of a session; a name for each sub-agent."""
    if not line.get("isSidechain"):
        return ""
    return str(line.get("agentId") or file.name)


def _answer(line: Mapping[str, Any], moment: float | None, agent: Agent, seen: set[int], source: Source) -> None:
    """A part of an answer: the last line of a request has its usage."""
    usage = nested(line, USAGE)
    if nested(line, "message.model") == SYNTHETIC or line.get("isApiErrorMessage"):
        source.drop("synthetic answers and errors of the API")
        return
    if not isinstance(usage, dict):
        source.drop("answers without usage")
        return
    request = str(line.get("requestId") or nested(line, "message.id") or line.get("uuid"))
    call = Call(
        sum(int(usage.get(name) or 0) for name in PROMPT),
        int(usage.get(COMPLETION) or 0),
        0,
        agent.input_s,
        moment,
        survives=usage.get(CACHED),
        compacted=agent.compacted,
    )
    if request == agent.request and agent.calls:
        first = agent.calls[-1]
        agent.calls[-1] = call._replace(start_s=first.start_s, compacted=first.compacted)
        return
    if hash(request) in seen:
        source.drop("requests that another file of the same session holds as well")
        return
    seen.add(hash(request))
    agent.request, agent.compacted = request, False
    agent.calls.append(call)


def _sessions(agents: Mapping[str, Agent]) -> Iterator[Session]:
    """The main line with its sub-agents, each after the last answer that ended before it began."""
    main = agents.get("")
    children = [Session(agent.calls) for key, agent in agents.items() if key and agent.calls]
    if main is None or not main.calls:
        yield from children
        return
    session = Session(main.calls, start_s=main.calls[0].start_s)
    for child in children:
        session.subagents.append((_started_after(main.calls, child.calls[0]), child))
    yield session


def _started_after(calls: list[Call], first: Call) -> int:
    """The last request of the parent that had ended when the child began."""
    if first.start_s is None:
        return 0
    ended = [at for at, call in enumerate(calls) if call.end_s is not None and call.end_s <= first.start_s]
    return ended[-1] if ended else 0


CLAUDE_CODE = Importer(name="claude-code", title="Claude Code session files", recognize=recognize, sessions=sessions)
