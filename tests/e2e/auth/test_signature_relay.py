"""A hostile registry relays an SSH signature to the honest one, which knows the same key."""

from pathlib import Path

from tests.support.auth.desk import BY_KEY, alices_desk
from tests.support.auth.front import front


def test_a_signature_for_one_registry_is_refused_by_another(tmp_path: Path) -> None:
    with alices_desk(tmp_path, "--host", "127.0.0.1") as desk, front(desk.url) as theirs:
        desk.make_key()
        desk.roar("publish", "--private", "-y", "--registry", theirs.url).blames(4, "the registry does not accept")
        # Not published without a name either: the key is not what was rejected.
        desk.roar("publish", "--public", "-y", "--registry", theirs.url).blames(4, "was made for", "--anonymous")
        signed = [seen for seen in theirs.seen if "authorization" in seen.headers]
        assert signed
        assert all(f'host="127.0.0.1:{theirs.port}"' in seen.headers["authorization"] for seen in signed)
        assert {seen.status for seen in signed} == {401}
        published = desk.publish("--public")
        assert published["identity"] == BY_KEY
