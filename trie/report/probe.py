"""What `trie probe` found, each fact under a word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trie.report.number_format import short


def probe_lines(findings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The lines of a probe, in the order in which a run would meet what they say."""
    server = findings["server"]
    dialect = server["dialect"]
    more = f" and {', '.join(server['replicas'])}" if server["replicas"] else ""
    where = "embedded endpoint (simulated)" if server["embedded"] else server["base_url"] + more
    yield "server", f"{where}, {findings['api']}"
    yield "dialect", _dialect(dialect)
    if dialect["taken"]:
        yield "", "taken from it: " + ", ".join(f"{key}={_shown(value)}" for key, value in dialect["taken"].items())
    if server["facts"]:
        yield "engine", ", ".join(f"{key} {_fact(value)}" for key, value in server["facts"].items())
    context = "not stated" if server["max_model_len"] is None else f"{server['max_model_len']:,} tokens"
    yield "model", f"{server['model']} (lists {', '.join(server['models'][:8]) or 'none'}), context {context}"
    yield "workload", _workload(findings["workload"])
    yield "rtt", _rtt(server["rtt"])
    yield "load", _load(server)
    yield "prompts", f"{findings['prompts']['name']}: {findings['prompts']['finding']}"
    yield "stream", _stream(findings["stream"])
    yield "lengths", _lengths(findings["stream"])
    yield "cache", _cache(findings["cache"])
    if findings["token_ids"] is not None:
        yield "token ids", _token_ids(findings["token_ids"])
    if server["cache_reset"]:
        yield "reset", "the prefix cache was emptied"
    yield "counters", _counters(findings["counters"])
    if findings["refused"] is not None:
        yield "refused", f"a run with these settings: {findings['refused']}"


def _dialect(dialect: Mapping[str, Any]) -> str:
    name = " ".join(part for part in (dialect["name"], dialect["version"]) if part)
    by = ", ".join(dialect["evidence"])
    if dialect["found"] is None:
        return f"{name}: nothing tells what the server is" + _against(dialect)
    if dialect["found"] != dialect["name"]:
        return f"{name} as named, but the server looks like {dialect['found']} ({by})" + _against(dialect)
    return f"{name}: {by}" + _against(dialect)


def _against(dialect: Mapping[str, Any]) -> str:
    return f"; but {', '.join(dialect['against'])}" if dialect["against"] else ""


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)


def _fact(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    return ", ".join(f"{worker['url']} ({worker['engine'] or 'unknown'})" for worker in value)


def _workload(workload: Mapping[str, Any]) -> str:
    longest = f"the longest needs {workload['longest_tokens']:,} tokens"
    if workload["fit"] is None:
        return f"{workload['name']}: {workload['traces']} traces, {longest}; whether they fit is not known"
    return f"{workload['name']}: {workload['fit']} of {workload['traces']} traces fit, {longest}"


def _rtt(rtt: Mapping[str, float | None]) -> str:
    def ms(key: str) -> str:
        value = rtt[key]
        return short(None if value is None else value * 1e3)

    return (
        f"TCP connect {ms('connect_min_s')} ms (median {ms('connect_median_s')}), "
        f"small GET {ms('get_min_s')} ms (median {ms('get_median_s')})"
    )


def _load(server: Mapping[str, Any]) -> str:
    flying = server["in_flight_before"]
    if flying is None:
        return "whether the engine is idle is not known: endpoint.load_route does not tell"
    return "idle" if flying == 0 else f"{flying} requests of others in flight"


def _stream(stream: Mapping[str, Any]) -> str:
    usage = "no usage" if stream["usage"] is None else f"usage in {_article(stream['usage'])}"
    end = "ends in [DONE]" if stream["done"] else "ends without [DONE]"
    each = "on request usage in every chunk" if stream["continuous_usage"] else "no usage in every chunk"
    first = stream["first_chunk_tokens"]
    return f"{usage}, {end}; {each}" + (f", {first} token{'s' if first != 1 else ''} in the first" if first else "")


def _article(place: str) -> str:
    return {"own chunk": "a chunk of its own", "finish chunk": "the chunk that ends it"}.get(place, place)


def _lengths(stream: Mapping[str, Any]) -> str:
    tokens, asked, chunks = stream["tokens"], stream["requested_tokens"], stream["chunks"]
    if tokens is None:
        return f"{chunks} chunks for {asked} tokens; how many came is not told"
    eos = "not sent" if stream["ignore_eos"] is None else str(stream["ignore_eos"]).lower()
    short_of = "" if tokens == asked else f", ended by {stream['finish_reason']}: the length is not kept"
    return f"{tokens} of {asked} tokens in {chunks} chunks (ignore_eos {eos}){short_of}"


def _cache(cache: Mapping[str, Any]) -> str:
    again, prompt = cache["cached_tokens_again"], cache["prompt_tokens"]
    if again is None:
        flag = f": start the server with {cache['flag']}" if cache["flag"] else ""
        return f"cached tokens are not reported{flag}"
    hits = f"{again:,} of {prompt:,} tokens cached when sent again, {cache['cached_tokens_first'] or 0:,} at first"
    if len(cache["workers"]) > 1:
        hits += f", by different workers ({', '.join(cache['workers'])})"
    return hits


def _token_ids(ids: Mapping[str, Any]) -> str:
    if not ids["accepted"]:
        return f"refused as prompts: {ids['refused']}"
    return "accepted as prompts, " + ("returned" if ids["returned"] else "not returned")


def _counters(counters: Mapping[str, Any] | None) -> str:
    if counters is None:
        return "none to be read (endpoint.metrics_route)"
    whose = f" of {', '.join(counters['of'])}" if counters["of"] else ""
    return f"{counters['number']} at {counters['route']}{whose}"
