"""How an https server proves who it is, and we to it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from trie.config import TlsConfig
from trie.errors import ConfigError


def context(tls: TlsConfig) -> ssl.SSLContext:
    """What connections to an https server hold to; SSL_CERT_FILE stands for the system's own authorities where set.

    Raises:
        ConfigError: for a file that can't be read or holds no PEM.
    """
    with _said("ca_file", tls.ca_file):
        made = ssl.create_default_context(cafile=tls.ca_file)
    if tls.cert_file is not None:
        with _said("cert_file", tls.cert_file if tls.key_file is None else f"{tls.cert_file} with {tls.key_file}"):
            made.load_cert_chain(tls.cert_file, tls.key_file, password=_none)
    if not tls.verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def _none() -> str:
    """Instead of a prompt on the terminal, by which a sweep would stand still."""
    raise ValueError("the key has a password; give one without")


@contextmanager
def _said(key: str, found: str | None) -> Iterator[None]:
    try:
        yield
    except ssl.SSLError:
        raise ConfigError(f"endpoint.tls.{key}={found}: not what a PEM file holds, or a key of another one") from None
    except OSError as error:
        raise ConfigError(f"endpoint.tls.{key}={found}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"endpoint.tls.{key}={found}: {error}") from None
