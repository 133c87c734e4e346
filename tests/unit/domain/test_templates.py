"""The constant part of a log line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microservo.domain import templates
from microservo.domain.templates import MASK, MAX_TEMPLATE_CHARS, template_of

NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))


@settings(deadline=None)
@given(NUMBERS, NUMBERS)
def test_lines_that_differ_in_numbers_have_one_template(one: float, other: float) -> None:
    assert template_of(f"served in {one} ms") == template_of(f"served in {other} ms") == "served in <*> ms"


@settings(deadline=None)
@given(st.uuids(), st.uuids())
def test_lines_that_differ_in_uuids_have_one_template(one: object, other: object) -> None:
    assert template_of(f"order {one} shipped") == template_of(f"order {other} shipped")


@settings(deadline=None)
@given(st.ip_addresses(v=4), st.integers(1, 65535))
def test_addresses_are_masked_with_their_port(address: object, port: int) -> None:
    assert template_of(f"lost {address}:{port} again") == "lost <*> again"


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_characters="'\n", codec="utf-8"), max_size=80))
def test_quoted_text_is_masked(text: str) -> None:
    assert template_of(f"no user '{text}' here") == "no user <*> here"


@pytest.mark.parametrize(
    ("body", "template"),
    [
        ("can't read user's 3 files", "can't read user's <*> files"),
        ("cartservice-0 is ready", "cartservice-<*> is ready"),
        ("GET /cart/items?id=7 done", "GET <*>?id=<*> done"),
        ("see http://shop.example/a?b=c, please", "see <*> please"),
        ("id 0xdeadbeef and deadbeef12345678", "id <*> and <*>"),
        ("at 2026-01-02T03:04:05.123Z: x=-5", "at <*>: x=<*>"),
        ("std::abc stays, fe80::1 goes", "std::abc stays, <*> goes"),
        ("Boom: first\n  File nowhere", "Boom: first"),
        ("  much   space\there ", "much space here"),
        ("", ""),
    ],
)
def test_variable_parts_are_masked_and_words_stay(body: str, template: str) -> None:
    assert template_of(body) == template


@settings(deadline=None)
@given(st.text(max_size=3000))
def test_any_text_has_a_short_template_on_one_line(body: str) -> None:
    template = template_of(body)
    assert len(template) <= MAX_TEMPLATE_CHARS
    assert "\n" not in template
    assert template == template_of(body)


def test_a_template_is_cut_at_its_limit() -> None:
    assert template_of("word " * 100 + "7") == ("word " * 24)[:MAX_TEMPLATE_CHARS]
    assert MASK in template_of("7 " + "word " * 100)


@given(st.text(alphabet="ab7é.:/-+_'\"@ \t\u2003\x85", max_size=60))
@settings(max_examples=500)
def test_words_one_by_one_have_the_template_of_the_whole_line(line: str) -> None:
    whole = templates._VARIABLE.sub(MASK, line.strip().partition("\n")[0])
    assert template_of(line) == " ".join(whole.split())[:MAX_TEMPLATE_CHARS]
