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
    with _config_errors("ca_file", tls.ca_file):
        ssl_context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.cert_file is not None:
        files = tls.cert_file if tls.key_file is None else f"{tls.cert_file} with {tls.key_file}"
        with _config_errors("cert_file", files):
            ssl_context.load_cert_chain(tls.cert_file, tls.key_file, password=_no_password)
    if not tls.verify:
        ssl_context.check_hostname = False
        ssl_context.verify_mode = ssl.CERT_NONE
    return ssl_context


def _no_password() -> str:
    """Instead of a prompt on the terminal, by which a sweep would stand still."""
    raise ValueError("the key has a password; give one without")


@contextmanager
def _config_errors(key: str, path: str | None) -> Iterator[None]:
    """Errors of reading a file as errors of the setting that names it."""
    try:
        yield
    except ssl.SSLError:
        raise ConfigError(f"endpoint.tls.{key}={path}: not what a PEM file holds, or a key of another one") from None
    except OSError as error:
        raise ConfigError(f"endpoint.tls.{key}={path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"endpoint.tls.{key}={path}: {error}") from None
