"""Who a server is, from what the routes of real engines answer."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.engine_answers import (
    HEADERS,
    LITELLM,
    LLAMACPP,
    METRICS,
    SGLANG,
    SIM,
    SMG,
    TRANSFORMERS,
    VLLM,
    models,
    replies,
)

from trie.config import Api, EndpointConfig, PromptForm, dialects
from trie.engines.declaration import MODELS
from trie.engines.detect import Finding, context_beside, facts_beside, identify, routes
from trie.errors import ConfigError

ROUTES = routes()
ALL = (MODELS, *ROUTES)


def finding_of(answers: dict[str, Any], head: dict[str, str] | None = None) -> Finding:
    return identify(replies(answers, ALL, head))


@pytest.mark.parametrize(
    ("answers", "head", "dialect", "version", "witnesses"),
    [
        (VLLM, None, "vllm", "0.32.0", 4),
        (SGLANG, None, "sglang", "0.5.23", 3),
        (LLAMACPP, HEADERS["llamacpp"], "llamacpp", "b10434-3ebe0e6", 4),
        (SMG, HEADERS["smg"], "tokenspeed", None, 2),
        (LITELLM, {"x-litellm-version": "1.80.0"}, "litellm", "1.80.0", 2),
        (LITELLM, None, "litellm", "1.80.0", 1),
        ({MODELS: models("openai", "m")}, {"x-litellm-call-id": "c"}, "litellm", None, 1),
        (TRANSFORMERS, None, "transformers", None, 1),
        (SIM, None, "sim", "0.1.0", 3),
        ({MODELS: models("system", "gpt-4")}, {"openai-version": "2020-10-01"}, "openai", None, 2),
    ],
)
def test_engines_are_told_apart(
    answers: dict[str, Any], head: dict[str, str] | None, dialect: str, version: str | None, witnesses: int
) -> None:
    finding = finding_of(answers, head)
    assert (finding.dialect, finding.version, len(finding.evidence)) == (dialect, version, witnesses)
    assert finding.against == ()
    assert finding.confidence == ("certain" if witnesses > 1 else "likely")


@pytest.mark.parametrize("answers", [{}, {MODELS: models("mycloud", "M")}, {"/version": ["x"]}, {"/props": 3}])
def test_an_unknown_server_is_unknown(answers: dict[str, Any]) -> None:
    assert finding_of(answers) == Finding(None)
    assert str(finding_of(answers)) == "unknown"


def test_a_server_that_answers_405_to_everything_is_not_transformers() -> None:
    assert finding_of(dict.fromkeys(ROUTES, 405)).dialect is None


def test_what_speaks_against_the_leading_dialect_is_listed() -> None:
    """Two routes speak for vLLM, one for llama.cpp."""
    finding = finding_of({"/version": {"version": "1"}, MODELS: models("vllm", "M"), METRICS: "llamacpp:x 1\n"})
    assert (finding.dialect, finding.confidence) == ("vllm", "contradicted")
    assert str(finding) == (
        "vLLM 1 (contradicted: /version answers 1, models owned by vllm; "
        "but /metrics names llamacpp:... is llama.cpp's)"
    )


def test_a_tie_is_no_finding() -> None:
    finding = finding_of({"/version": {"version": "1"}, METRICS: "llamacpp:x 1\n"})
    assert finding.dialect is None
    assert len(finding.against) == 2


def test_a_gateway_outranks_what_shines_through_it() -> None:
    finding = finding_of({"/server_info": {"vllm_config": ""}, MODELS: models("vllm", "M")}, HEADERS["smg"])
    assert (finding.dialect, finding.behind, finding.against) == ("tokenspeed", "vllm", ())


def test_facts_beside_the_api() -> None:
    assert facts_beside(replies(VLLM, ROUTES)) == {"block_size": 32, "num_gpu_blocks": 80, "cache_dtype": "auto"}
    llama = facts_beside(replies(LLAMACPP, ROUTES))
    assert (llama, context_beside(llama)) == ({"total_slots": 8, "slot_context": 16384}, 16384)
    gateway = facts_beside(replies(SMG, (*ROUTES, "/workers")))
    assert gateway["workers"][0] == {"url": "http://w2", "engine": "vllm 0.32.0", "context": 8192}
    assert context_beside(gateway) == 4096  # of the smaller worker: a request may reach it
    assert facts_beside(replies(SGLANG, ROUTES)) == {"page_size": 64, "tp_size": 2}
    assert facts_beside({}) == {}


@pytest.mark.parametrize("name", dialects.names())
def test_every_dialect_fills_a_blank_endpoint_with_what_its_file_says(name: str) -> None:
    endpoint, taken = dialects.applied(EndpointConfig(base_url="http://h/v1"), name)
    assert (endpoint.name, endpoint.base_url) == (name, "http://h/v1")
    for key, value in dialects.settings_of(name).items():
        own = getattr(endpoint, key)
        assert (own.name if isinstance(own, Api) else own) == value
    assert {key.partition(".")[0] for key in taken} <= dialects.settings_of(name).keys()


def test_what_the_user_set_stays() -> None:
    own = EndpointConfig(base_url="http://h/v1", reset_route="/mine", extra_body={"temperature": 1})
    endpoint, taken = dialects.applied(own, "llamacpp")
    assert endpoint.extra_body == {"temperature": 1, "cache_prompt": True}
    assert taken == {
        "keep_alive": False,
        "cached_tokens_field": "prompt_tokens_details.cached_tokens",
        "extra_body.cache_prompt": True,
    }
    assert dialects.applied(own, "vllm")[0].reset_route == "/mine"
    assert own.name == "custom"


def test_settings_are_listed_as_one_would_write_them() -> None:
    taken = {"ignore_eos": None, "keep_alive": False, "load_keys": ["a", "b"], "extra_body.temperature": 0}
    assert dialects.listed(taken) == "ignore_eos=null, keep_alive=false, load_keys=[a,b], extra_body.temperature=0"


def test_settings_that_exclude_each_other_are_refused() -> None:
    ids = EndpointConfig(base_url="http://h/v1", prompt_form=PromptForm.token_ids)
    with pytest.raises(ConfigError, match=r"endpoint\.prompt_form=token_ids"):
        dialects.applied(ids, "openai")


def test_litellm_is_no_openai_and_tells_what_stands_behind_it() -> None:
    finding = finding_of(LITELLM)
    assert finding.behind is None
    assert str(finding) == "LiteLLM 1.80.0 (likely: /health/readiness answers 1.80.0)"
    facts = facts_beside(replies(LITELLM, (*ALL, "/model/info")))
    assert facts["deployments"] == [
        {"name": "m", "model": "hosted_vllm/M", "url": f"http://w{n}/v1", "context": 4096 * n} for n in (2, 1)
    ]
    assert context_beside(facts) == 4096


def test_the_context_behind_litellm_is_not_known_where_it_serves_several_models() -> None:
    other = {"model_name": "other", "litellm_params": None, "model_info": {"max_input_tokens": 8}}
    answers = {"/model/info": {"data": [*LITELLM["/model/info"]["data"], other, "x", {}]}}
    assert context_beside(facts_beside(replies(answers, ("/model/info",)))) is None


def test_an_engine_that_shines_through_litellm_is_behind_it() -> None:
    finding = finding_of({**LITELLM, "/server_info": {"vllm_config": "x"}})
    assert (finding.dialect, finding.behind) == ("litellm", "vllm")
