"""TLS by settings: an authority of one's own, our own certificate, none of it, and files that can't be used."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from helpers.scripted_server import playing

from trie.config import EndpointConfig, TlsConfig
from trie.endpoint.connection import Connections
from trie.endpoint.exchange import Exchange
from trie.endpoint.tls import context
from trie.errors import ConfigError

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def got(authority: trustme.CA, tls: TlsConfig, *, client_authority: trustme.CA | None = None) -> Exchange:
    """One request to a server of this authority, which asks for a certificate where it knows who may have made it."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    if client_authority is not None:
        client_authority.configure_trust(server)
        server.verify_mode = ssl.CERT_REQUIRED
    exchange = Exchange()
    async with (
        playing(lambda _: (ANSWER,), tls=server) as (url, _),
        Connections(EndpointConfig(base_url=url, tls=tls), url) as connections,
    ):
        await connections.get("/models", exchange)
    return exchange


async def test_an_authority_of_ones_own(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    assert (await got(authority, TlsConfig(ca_file=str(tmp_path / "ca.pem")))).body == b"ok"
    assert (await got(authority, TlsConfig())).error_kind == "tls"
    assert (await got(trustme.CA(), TlsConfig(ca_file=str(tmp_path / "ca.pem")))).error_kind == "tls"


async def test_any_certificate_where_that_is_asked_for() -> None:
    assert (await got(trustme.CA(), TlsConfig(verify=False))).body == b"ok"


async def test_our_own_certificate(tmp_path: Path) -> None:
    clients, own = trustme.CA(), tmp_path / "own.pem"
    clients.issue_cert("client@host").private_key_and_cert_chain_pem.write_to_path(own)
    shown = TlsConfig(verify=False, cert_file=str(own))
    assert (await got(trustme.CA(), shown, client_authority=clients)).body == b"ok"
    assert (await got(trustme.CA(), TlsConfig(verify=False), client_authority=clients)).error_kind is not None


def test_files_that_can_not_be_used(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("hello")
    own = str(tmp_path / "own.pem")
    trustme.CA().issue_cert("client@host").cert_chain_pems[0].write_to_path(own)
    no_pem, missing = str(tmp_path / "no.pem"), str(tmp_path / "missing.pem")
    for tls, said in (
        (TlsConfig(ca_file=missing), f"endpoint.tls.ca_file={missing}: No such file or directory"),
        (TlsConfig(ca_file=no_pem), f"endpoint.tls.ca_file={no_pem}: not what a PEM file holds"),
        (TlsConfig(cert_file=no_pem), f"endpoint.tls.cert_file={no_pem}: not what a PEM file holds"),
        (TlsConfig(cert_file=own, key_file=missing), f"endpoint.tls.cert_file={own} with {missing}: No such"),
    ):
        with pytest.raises(ConfigError, match="^" + said.replace(".", r"\.")):
            context(tls)
    with pytest.raises(ConfigError, match=r"endpoint\.tls\.key_file=k: must be left out without"):
        TlsConfig(key_file="k")
