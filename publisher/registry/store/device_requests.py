"""The table of programs that wait for a user to confirm their code. Times are in Unix seconds."""

from typing import NamedTuple

from msgspec import Struct

from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.users import User, user_of


class DeviceRequest(Struct, frozen=True):
    """A program that wants to be signed in. It gave itself the `name`. `address` is its client's address."""

    user_code: str
    name: str
    address: str
    requested_at: float


class DeviceState(NamedTuple):
    """What became of a request. `user` is who allowed it; None if nobody has."""

    user: User | None
    refused: bool
    polled_at: float | None


def insert_request(connection: Connection, code_hash: bytes, request: DeviceRequest, expires_at: float) -> None:
    """Add a request."""
    connection.execute(
        "INSERT INTO device_requests (hash, user_code, name, address, requested_at, expires_at)"
        " VALUES (:hash, :user_code, :name, :address, :requested_at, :expires_at)",
        {
            "hash": code_hash,
            "user_code": request.user_code,
            "name": request.name,
            "address": request.address,
            "requested_at": request.requested_at,
            "expires_at": expires_at,
        },
    )


def count_requests(connection: Connection, address: str) -> tuple[int, int]:
    """Return the number of requests in all, and of those from this address."""
    row = connection.execute(
        "SELECT count(*), coalesce(sum(CASE WHEN address = :address THEN 1 ELSE 0 END), 0) FROM device_requests",
        {"address": address},
    ).fetchone()
    return int(row[0]), int(row[1])


def undecided_request(connection: Connection, user_code: str, now: float) -> DeviceRequest | None:
    """Return the request with this code; None if it is unknown, expired, allowed or refused."""
    row = connection.execute(
        "SELECT user_code, name, address, requested_at FROM device_requests"
        " WHERE user_code = :code AND expires_at > :now AND user_id IS NULL AND refused = 0",
        {"code": user_code, "now": now},
    ).fetchone()
    return None if row is None else DeviceRequest(*row)


def decide_request(connection: Connection, user_code: str, user_id: str | None) -> None:
    """Allow a request for a user, or refuse it (None)."""
    connection.execute(
        "UPDATE device_requests SET user_id = :user, refused = :refused WHERE user_code = :code",
        {"code": user_code, "user": user_id, "refused": int(user_id is None)},
    )


def request_state(connection: Connection, code_hash: bytes, now: float) -> DeviceState | None:
    """Return what became of a request; None if it is unknown or expired."""
    row = connection.execute(
        "SELECT refused, polled_at, users.* FROM device_requests LEFT JOIN users ON users.id = user_id"
        " WHERE hash = :hash AND expires_at > :now",
        {"hash": code_hash, "now": now},
    ).fetchone()
    if row is None:
        return None
    return DeviceState(None if row["id"] is None else user_of(row), bool(row["refused"]), row["polled_at"])


def record_poll(connection: Connection, code_hash: bytes, now: float) -> None:
    """Record that the program has asked."""
    connection.execute(
        "UPDATE device_requests SET polled_at = :now WHERE hash = :hash", {"hash": code_hash, "now": now}
    )


def delete_request(connection: Connection, code_hash: bytes) -> None:
    """Delete a request."""
    connection.execute("DELETE FROM device_requests WHERE hash = :hash", {"hash": code_hash})


def delete_expired(connection: Connection, now: float) -> None:
    """Delete the requests that have expired."""
    connection.execute("DELETE FROM device_requests WHERE expires_at <= :now", {"now": now})
