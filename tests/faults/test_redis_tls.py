"""Redis over TLS: every client checks the certificate and its host name, unless told otherwise."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from paceline.errors import PartUnavailable, SettingsError
from paceline.settings.model import RedisSettings
from paceline.testing.servers import Valkey
from paceline.testing.virtual_time import real_time
from paceline_adapters.arq.queue import Queue
from paceline_adapters.celery.broker_url import broker_url
from paceline_adapters.redis.connection import Link
from paceline_adapters.redis.tls import tls_options
from pydantic import SecretStr

from tests.support.tls_endpoint import TlsEndpoint


@dataclass(frozen=True, slots=True)
class Secured:
    """A server behind TLS, with a certificate for another host name than the URL's."""

    endpoint: TlsEndpoint
    authority: Path

    def url(self, *options: str) -> str:
        """The URL with these TLS options."""
        return f"rediss://127.0.0.1:{self.endpoint.port}/0?{'&'.join(options)}"


@pytest.fixture
def secured(tmp_path: Path, valkey_server: Valkey) -> Iterator[Secured]:
    """Valkey behind an endpoint with TLS, because that from PyPI has none."""
    certificate, key = tmp_path / "server.crt", tmp_path / "server.key"
    order = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=of-the-test"
    names = ["-addext", "subjectAltName=DNS:redis.internal"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*order.split(), *names, *files], check=True, capture_output=True)
    with TlsEndpoint(valkey_server.port, certificate, key) as endpoint:
        yield Secured(endpoint, certificate)


async def with_ledger(url: str) -> None:
    """Connect as the ledger and the event bus do."""
    link = Link(RedisSettings(url=SecretStr(url), timeout=2), connections=2)
    try:
        await link.execute("PING", attempts=1)
    finally:
        await link.close()


async def with_arq(url: str) -> None:
    """Connect as arq's queue does."""
    queue = Queue(RedisSettings(url=SecretStr(url), timeout=2), "tls")
    try:
        await queue.waiting()
    finally:
        await queue.close()


async def with_celery(url: str) -> None:
    """Connect as Celery's broker does."""
    from kombu import Connection
    from kombu.exceptions import OperationalError

    address = broker_url(RedisSettings(url=SecretStr(url)))
    options = {"socket_timeout": 2, "socket_connect_timeout": 2}
    with Connection(address, transport_options=options) as connection:
        try:
            connection.ensure_connection(max_retries=1, timeout=2)
            connection.default_channel.client.ping()
        except (*connection.connection_errors, OperationalError) as error:
            raise PartUnavailable(str(error)) from None


@real_time
@pytest.mark.parametrize("connect", [with_ledger, with_arq, with_celery])
async def test_a_certificate_for_another_host_is_refused_unless_the_url_allows_it(
    secured: Secured, connect: object
) -> None:
    assert callable(connect)
    trusted = f"ssl_ca_certs={secured.authority}"
    for options in ([], [trusted], ["ssl_cert_reqs=required", trusted]):
        with pytest.raises(PartUnavailable, match=r"certificate|CERTIFICATE|SSL"):
            await connect(secured.url(*options))
    await connect(secured.url(trusted, "ssl_check_hostname=false"))
    await connect(secured.url("ssl_cert_reqs=none"))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (
            "rediss://h/0?ssl_cert_reqs=CERT_NONE",
            "ssl_cert_reqs must be none, optional or required",
        ),
        (
            "rediss://h/0?ssl_ca_certs=/no/such",
            "ssl_ca_certs=/no/such cannot be read: No such file",
        ),
        ("redis://h/0?ssl_cert_reqs=none", "ssl_cert_reqs needs TLS, so write rediss://"),
    ],
)
def test_a_wrong_tls_option_is_named(url: str, says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        tls_options(url)
    assert says in str(raised.value)
    for make in (
        lambda: Link(RedisSettings(url=SecretStr(url)), connections=2),
        lambda: broker_url(RedisSettings(url=SecretStr(url))),
    ):
        with pytest.raises(SettingsError, match=r"^redis\.url: ssl_"):
            make()
