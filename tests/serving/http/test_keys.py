"""Keys: what a file holds, who is let in, and how often."""

from __future__ import annotations

import hashlib

import pytest

from uip2p.errors import UserError
from uip2p.serving.http.errors import TooMany
from uip2p.serving.http.keys import Rate, new_key, owner, parse_keys, read_keys


def test_a_new_key_lets_in_whom_its_line_names(tmp_path):
    (one, line), (other, second) = new_key("alice"), new_key("bob.2")
    assert one != other and one not in line and len(one) > 40
    (tmp_path / "keys").write_text(f"# who may\n\n{line}\n  {second}   # the other\n")
    keys = read_keys(tmp_path / "keys")
    assert [owner(keys, key) for key in (one, other)] == ["alice", "bob.2"]
    for wrong in ("", "x", one[:-1], one + " ", line, line.partition(":")[2], "ключ", "\udcff"):
        assert owner(keys, wrong) is None
    assert parse_keys(f"{line},{second}", "UIP2P_API_KEYS") == keys


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no key in it"), ("# none\n", "no key in it"), ("hello", "line 1"),
        (f"a:{'0' * 64}\na:{'1' * 64}", "twice"),
        (f"a:{'0' * 63}", "line 1"), (f"a b:{'0' * 64}", "line 1"), (f"a:{'0' * 64}:", "line 1"),
    ],
)  # fmt: skip
def test_what_is_no_line_is_said_by_its_number_alone(text, said):
    with pytest.raises(UserError, match=said) as wrong:
        parse_keys(text, "keys.txt")
    assert "keys.txt" in str(wrong.value) and "000" not in str(wrong.value) and "hello" not in str(wrong.value)


def test_a_file_that_is_not_there_and_a_name_that_is_none(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        read_keys(tmp_path / "none")
    with pytest.raises(UserError, match="--new-key a:b"):
        new_key("a:b")


def test_every_key_is_compared_whichever_is_right(monkeypatch):
    import hmac

    lines = [new_key(name) for name in "abc"]
    keys, compared = parse_keys("\n".join(line for _, line in lines), "keys"), []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda one, other: compared.append(one) or real(one, other))
    for presented, name in ((lines[0][0], "a"), (lines[2][0], "c"), ("wrong", None)):
        compared.clear()
        assert owner(keys, presented) == name
        assert compared == [key.digest for key in keys]
    assert keys[0].digest == hashlib.sha256(lines[0][0].encode()).digest()


def test_a_rate_is_of_each_name_and_comes_back_with_time():
    now = [100.0]
    rate = Rate(3, lambda: now[0])
    for _ in range(3):
        rate.take("a")
    with pytest.raises(TooMany) as declined:
        rate.take("a")
    assert declined.value.retry_after == pytest.approx(20) and declined.value.status == 429
    rate.take("b")
    now[0] += 19.9
    with pytest.raises(TooMany):
        rate.take("a")
    now[0] += 0.2
    rate.take("a")
    now[0] += 3600  # a bucket holds no more than a minute's
    for _ in range(3):
        rate.take("a")
    with pytest.raises(TooMany):
        rate.take("a")
