"""Addresses: libpq takes them apart, and the password goes nowhere but where it belongs."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest

from flagsnap.errors import ConnectionFailed, UsageError
from flagsnap.postgres.connection import Address, connect

URL = "postgresql://app:p%40ss%2Fw:rd@db.example:6543/fl%20ags?sslmode=require&connect_timeout=3"


def test_a_url_is_taken_apart_by_libpq() -> None:
    address = Address.parse(URL)
    assert address.database == "fl ags"
    assert str(address) == "fl ags on db.example:6543"
    assert address.environment() == {
        "PGHOST": "db.example",
        "PGPORT": "6543",
        "PGUSER": "app",
        "PGPASSWORD": "p@ss/w:rd",
        "PGDATABASE": "fl ags",
        "PGSSLMODE": "require",
        "PGCONNECT_TIMEOUT": "3",
        "PGAPPNAME": "flagsnap",
        "LC_ALL": "C",
    }


def test_a_keyword_string_means_the_same() -> None:
    words = r"host=db.example port=6543 user=app password='p@ss/w:rd' dbname='fl ags' sslmode=require connect_timeout=3"
    assert Address.parse(words).environment() == Address.parse(URL).environment()


def test_a_socket_is_an_address_too() -> None:
    assert str(Address.parse("postgresql:///flags")) == "flags on local socket:5432"
    assert str(Address.parse("postgresql:///flags?host=/run/pg")) == "flags on /run/pg:5432"


@pytest.mark.parametrize(
    "secret", ["password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret"]
)
def test_secrets_are_in_no_argument_and_no_text(secret: str) -> None:
    address = Address.parse(f"postgresql://app@h/flags?{secret}=sesame&keepalives_idle=9")
    assert address.arguments() == "keepalives_idle=9 dbname=flags"
    assert "sesame" not in f"{address} {address!r}"


def test_arguments_say_what_the_environment_cannot() -> None:
    address = Address.parse("postgresql://app:x@h/flags?keepalives_idle=9&tcp_user_timeout=5&options=-c%20a%3Db")
    assert address.arguments() == "keepalives_idle=9 tcp_user_timeout=5 dbname=flags"
    assert address.environment()["PGOPTIONS"] == "-c a=b"


def test_another_database_of_the_same_server() -> None:
    other = Address.parse(URL).to("it's \\ other")
    assert other.database == "it's \\ other"
    assert {**other.environment(), "PGDATABASE": "fl ags"} == Address.parse(URL).environment()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:ses%ame@h/flags",
        "postgresql://app:sesame@ses@h/flags",
        "postgresql://app:ses/ame@h/flags",
        "postgresql://app:ses@/ame@h/flags",
        "postgresql://app:x?sesame@ses@h/flags",
        "postgresql://app:sesame@h/flags?nonsense=1",
        "postgresql://app:sesame@h/flags?connect_timeout=soon",
        "postgresql://app:sesame@[::1/flags",
        "mysql://app:sesame@h/flags",
        "host=h password='sesame",
        "host=h password=ses ame dbname=flags",
        "sesame",
    ],
)
def test_what_cannot_be_read_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(UsageError, match=r"^the database URL ") as refused:
        Address.parse(url)
    error: BaseException | None = refused.value
    while error:  # a traceback shows the causes too
        assert "ame" not in str(error).replace("name", "")
        assert "ses" not in str(error)
        error = None if error.__suppress_context__ else error.__cause__ or error.__context__
    assert "percent-encoded" in refused.value.hint


@pytest.mark.parametrize("url", ["postgresql://app:sesame@h", "host=h password=sesame"])
def test_a_database_must_be_named(url: str) -> None:
    with pytest.raises(UsageError, match="names no database"):
        Address.parse(url)


@pytest.mark.parametrize(
    "url",
    ["postgresql://u%40corp:p%40ss@h/d%40b", "postgresql://u:p@h/d?application_name=a@b", "postgresql:///d?user=a@b"],
)
def test_an_at_sign_may_stand_where_libpq_reads_it_right(url: str) -> None:
    assert Address.parse(url).database in {"d@b", "d"}


def test_a_closed_port_is_told_with_host_and_port() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ConnectionFailed) as failed, connect(_address(port), "test"):
        pass
    assert str(failed.value) == f"no connection to flags on 127.0.0.1:{port}: Connection refused"
    assert "--database-url" in failed.value.hint


def test_a_server_that_never_answers_is_given_up() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = _address(silent.getsockname()[1], "?connect_timeout=2")
        with pytest.raises(ConnectionFailed, match="timeout"), connect(address, "test"):
            pass


def test_a_server_that_is_too_old_is_refused_with_its_version() -> None:
    with (
        _server_of_version("14.9") as port,
        pytest.raises(UsageError, match=r"^flags on .* runs PostgreSQL 14$") as refused,
        connect(_address(port), "test"),
    ):
        pass
    assert refused.value.hint == "flagsnap needs PostgreSQL 15 or newer"


def _address(port: int, more: str = "") -> Address:
    return Address.parse(f"postgresql://app:sesame@127.0.0.1:{port}/flags{more}")


@contextmanager
def _server_of_version(version: str) -> Iterator[int]:
    """As much of PostgreSQL's protocol as it takes to connect."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=_greet, args=(listener, version), daemon=True).start()
        yield listener.getsockname()[1]


def _greet(listener: socket.socket, version: str) -> None:
    client, _ = listener.accept()
    with client:
        while True:
            length = struct.unpack("!I", client.recv(4, socket.MSG_WAITALL))[0]
            request = client.recv(length - 4, socket.MSG_WAITALL)
            if length > 8:
                break
            client.sendall(b"N")  # neither TLS nor GSS
            del request
        client.sendall(_message(b"R", struct.pack("!I", 0)))
        for name, value in {"server_version": version, "server_encoding": "UTF8", "client_encoding": "UTF8"}.items():
            client.sendall(_message(b"S", f"{name}\0{value}\0".encode()))
        client.sendall(_message(b"Z", b"I"))
        client.recv(1024)


def _message(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("!I", len(content) + 4) + content


def test_the_version_is_told_as_psycopg_reads_it() -> None:
    with _server_of_version("15.2") as port, psycopg.connect(_address(port).conninfo) as connection:
        assert connection.info.server_version == 150002
