"""The parameters of a PostgreSQL URL mean what libpq documents."""

import asyncio
import os
import subprocess
from collections.abc import Iterator

import pytest
from paceline.errors import PartUnavailable, SettingsError
from paceline.settings.model import Settings, StoreSettings
from paceline.testing.server_process import free_port
from paceline.testing.servers import Postgres
from paceline.testing.spawn import NOBODY
from paceline.testing.virtual_time import real_time
from paceline_adapters.sql import schema
from paceline_adapters.sql.engine import single_connection
from paceline_adapters.sql.url import parse_url
from pydantic import SecretStr
from sqlalchemy import text

from tests.support.pgbouncer import PgBouncer

PASSWORD = "s3cret"


class TlsServer(PgBouncer):
    """An endpoint with TLS: PostgreSQL from PyPI has none.

    Its certificate is also that of its authority, and of a client.
    """

    def _prepare(self) -> None:
        super()._prepare()
        certificate, key = self.home / "server.crt", self.home / "server.key"
        order = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=of-the-test"
        more = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key)]
        subprocess.run(
            [*order.split(), *more, "-out", certificate], check=True, capture_output=True
        )
        for path in (certificate, key):
            path.chmod(0o600)
            if self._identity == "nobody":
                os.chown(path, NOBODY, NOBODY)
        self.settings |= {
            "client_tls_cert_file": str(certificate),
            "client_tls_key_file": str(key),
            "client_tls_ca_file": str(certificate),
        }


@pytest.fixture
def tls_server(request: pytest.FixtureRequest, postgres_server: Postgres) -> Iterator[TlsServer]:
    """An endpoint that requires TLS, or a certificate of the client."""
    settings = {"client_tls_sslmode": getattr(request, "param", "require")}
    with TlsServer(postgres_server, settings=settings) as server:
        yield server


async def ask(url: str, question: str) -> object:
    """One value, over a connection as migrations use it."""
    engine = single_connection(parse_url(SecretStr(url)), StoreSettings())
    try:
        async with engine.connect() as connection:
            return await connection.scalar(text(question))
    finally:
        await engine.dispose()


async def refused(url: str) -> str:
    """The one line of a failed start."""
    with pytest.raises(PartUnavailable) as error:
        await asyncio.to_thread(schema.current, SecretStr(url))
    assert "\n" not in str(error.value)
    return str(error.value)


@real_time
async def test_tls_is_used_as_the_url_asks(
    tls_server: TlsServer, postgres_server: Postgres
) -> None:
    url = tls_server.through(postgres_server.url)
    root = f"sslrootcert={tls_server.home}/server.crt"
    for parameters in (
        "",
        "?sslmode=prefer&channel_binding=prefer",
        "?sslmode=require",
        "?ssl=require",
        f"?sslmode=verify-ca&{root}",
        f"?sslmode=verify-full&{root}&gssencmode=disable",
    ):
        assert await ask(url + parameters, "SELECT 1") == 1
    assert "SSL required" in await refused(f"{url}?sslmode=disable")
    for parameters in ("sslrootcert=system", "sslrootcert=system&sslmode=verify-full"):
        line = await refused(f"{url}?{parameters}")
        assert line.endswith("self-signed certificate (sslrootcert)"), line
    other_name = url.replace("127.0.0.1", "localhost")
    assert await ask(f"{other_name}?sslmode=verify-ca&{root}", "SELECT 1") == 1
    line = await refused(f"{other_name}?sslmode=verify-full&{root}")
    assert "certificate is not valid for 'localhost'" in line


@pytest.mark.parametrize("tls_server", ["verify-full"], indirect=True)
@real_time
async def test_a_certificate_of_the_client_is_sent(
    tls_server: TlsServer, postgres_server: Postgres
) -> None:
    url = f"{tls_server.through(postgres_server.url)}?sslmode=require"
    home = tls_server.home
    both = f"{url}&sslcert={home}/server.crt&sslkey={home}/server.key"
    assert await ask(both, "SELECT 1") == 1
    await refused(url)


@real_time
async def test_a_server_without_tls_is_one_line(postgres_server: Postgres) -> None:
    line = await refused(f"{postgres_server.url}?sslmode=require")
    assert line.endswith(": the server offers no TLS, but the URL requires it (sslmode)")


@real_time
async def test_the_first_host_that_answers_and_fits_is_used(postgres_server: Postgres) -> None:
    login = f"{postgres_server.user}:{postgres_server.password}"
    down, up = free_port(), postgres_server.port
    port = "SELECT current_setting('port')"
    for url in (
        f"postgres://{login}@127.0.0.1:{down},127.0.0.1:{up}/postgres",
        f"postgres://{login}@127.0.0.1:{down},127.0.0.1:{up}/postgres?target_session_attrs=primary",
        f"postgresql://{login}@/postgres?host=127.0.0.1,127.0.0.1&port={down},{up}",
        f"postgresql://{login}@/postgres?host=127.0.0.1:{down}&host=127.0.0.1:{up}",
    ):
        assert await ask(url, port) == str(up)
    hosts = f"127.0.0.1:{down},localhost:{up}"
    line = await refused(f"postgres://{login}@{hosts}/postgres?target_session_attrs=standby")
    assert line.startswith(f"database 'postgres' at {hosts}: ")
    line = await refused(f"{postgres_server.url}?target_session_attrs=standby")
    assert line.endswith("no host has the role that the URL requires (target_session_attrs)")
    assert postgres_server.password not in line


@real_time
async def test_settings_of_the_session_reach_the_server(postgres_server: Postgres) -> None:
    url = (
        f"{postgres_server.url}?application_name=mine"
        "&options=-c%20search_path%3Dapart%20-c%20work_mem%3D5MB"
    )
    names = ("application_name", "search_path", "work_mem")
    found = [await ask(url, f"SELECT current_setting('{name}')") for name in names]
    assert found == ["mine", "apart", "5MB"]
    assert await ask(postgres_server.url, "SELECT current_setting('application_name')") == (
        "paceline"
    )


def test_both_names_of_the_scheme_choose_the_store() -> None:
    for scheme in ("postgres", "postgresql", "postgresql+asyncpg"):
        store = StoreSettings(url=SecretStr(f"{scheme}://u:{PASSWORD}@h/d"))
        assert Settings(store=store).store_kind == "postgresql"
        assert parse_url(store.url).dialect == "postgresql"


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ("sslmode=on", "sslmode must be one of disable, allow, prefer, require, verify-ca, "),
        ("target_session_attrs=leader", "target_session_attrs must be one of any, read-write, "),
        ("channel_binding=require", "channel_binding must be .*; sslmode=verify-full"),
        ("gssencmode=require", "gssencmode must be one of disable, prefer, got 'require'"),
        ("keepalives=yes", "keepalives must be one of 0, 1, got 'yes'"),
        ("keepalives_idle=soon", "keepalives_idle must be a number of seconds, got 'soon'"),
        ("tcp_user_timeout=-1", "tcp_user_timeout must be a number of milliseconds, got '-1'"),
        ("connect_timeout=nan", "connect_timeout must be a number of seconds, got 'nan'"),
        ("sslrootcert=/no/such.crt", "sslrootcert must be an existing file, got /no/such.crt"),
        ("sslrootcert=system&sslmode=require", "sslrootcert=system needs sslmode=verify-full"),
        ("password=s3cret", "unknown parameter password .allowed: application_name, channel_"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_named(parameters: str, fault: str) -> None:
    for hosts in ("host", "one:1,two:2"):
        url = f"postgresql://u:{PASSWORD}@{hosts}/d?{parameters}"
        with pytest.raises(SettingsError, match=rf"store\.url: {fault}") as error:
            parse_url(SecretStr(url))
        assert PASSWORD not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cret/x@one,two/d",
        "postgresql://u:s3cret@one:1,two:2/d?options=a@b",
        "postgresql://u:s3cret@[::1]:5432,[::2]/d",
        "postgresql://u:s3cret,x@host/d",
        "postgresql://u:s3cret@host/d?sslpassword=s3cret",
    ],
)
def test_no_password_is_in_the_name_of_the_database(url: str) -> None:
    address = parse_url(SecretStr(url))
    for shown in (address.place, repr(address), str(address.url)):
        assert PASSWORD not in shown
    assert str(address.server.arguments()["password"]).startswith(PASSWORD)
