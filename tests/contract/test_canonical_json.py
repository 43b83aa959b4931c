"""RFC 8785: the specification's own vectors, and what has no canonical form."""

import json
import struct

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from hitl_contract.canonical import (
    MAX_DEPTH,
    base64url_decode,
    base64url_encode,
    canonical_json,
    canonical_object,
    parse_strict_json,
)
from hitl_contract.errors import CanonicalizationError
from tests.contract.strategies import json_values

# RFC 8785 appendix B: IEEE 754 bits and their ECMAScript form.
NUMBERS = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555554", "333333333.33333325"),
    ("41b3de4355555555", "333333333.3333333"),
    ("41b3de4355555556", "333333333.3333334"),
    ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]


@pytest.mark.parametrize(("bits", "expected"), NUMBERS)
def test_numbers_have_the_form_of_the_specifications_table(bits: str, expected: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical_json(number) == expected.encode()


def test_the_specifications_sample_has_its_published_bytes() -> None:
    sample = (
        '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],'
        '"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}'
    )
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical_json(json.loads(sample)) == expected.encode()


def test_keys_are_ordered_by_utf16_units_and_not_by_code_points() -> None:
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    ordered = list(json.loads(canonical_json(dict.fromkeys(keys, 0))))
    assert ordered == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}, ["a\ud83d"], {"a": {"b": "\udc00"}}])
def test_a_lone_surrogate_is_refused_wherever_it_stands(value: object) -> None:
    with pytest.raises(CanonicalizationError):
        canonical_json(value)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**53, -(2**53), {1: "a"}, {"a": object()}, b"a"]
)
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(CanonicalizationError):
        canonical_json(value)


def test_nesting_is_accepted_up_to_the_bound_and_refused_beyond() -> None:
    def nested(depth: int) -> object:
        value: object = 0
        for _ in range(depth):
            value = [value]
        return value

    assert canonical_json(nested(MAX_DEPTH))
    with pytest.raises(CanonicalizationError, match="deeper"):
        canonical_json(nested(MAX_DEPTH + 1))


@given(json_values)
def test_canonical_bytes_survive_a_round_trip(value: object) -> None:
    encoded = canonical_json(value)
    assert canonical_json(parse_strict_json(encoded)) == encoded


@given(json_values)
def test_the_encoder_used_for_simple_values_agrees_with_the_library(value: object) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_has_the_librarys_form(number: float) -> None:
    assert canonical_json(number) == rfc8785.dumps(number)


@given(json_values)
def test_canonical_bytes_hold_the_value(value: object) -> None:
    assert json.loads(canonical_json(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        "[NaN]",
        "[Infinity]",
        "[1e999]",
        "{",
        "",
        "[" * 100_000,
        "1" * 5000,
        b"\xff",
        '{"a":1} x',
    ],
)
def test_text_that_parsers_disagree_about_is_refused(text: str | bytes) -> None:
    with pytest.raises(CanonicalizationError):
        parse_strict_json(text)


@pytest.mark.parametrize("text", ["YQ==", "YR", "Y Q", "YQ\n", "Y+", "Y/", "A"])
def test_base64url_has_one_spelling(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the standard library's
        base64url_decode(text)


def test_base64url_round_trips() -> None:
    for length in range(70):
        data = bytes(range(length))
        assert base64url_decode(base64url_encode(data)) == data


names = st.text(st.characters(exclude_categories=("Cs",)), max_size=5) | st.sampled_from(
    ["%s", "%", "\ue000", "😀"]
)


@given(
    st.dictionaries(names, st.text(st.characters(exclude_categories=("Cs",))))
    | st.dictionaries(names, json_values)
)
def test_an_object_as_a_text_is_its_canonical_bytes(value: dict[str, object]) -> None:
    assert canonical_object(value).encode() == canonical_json(value) == rfc8785.dumps(value)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("value", [{1: "a", "b": "c"}, {"a": object(), "b": "c"}, {"a": 2**53, "b": "c"}])
def test_an_object_without_a_canonical_form_is_refused_as_a_text_too(value: dict[str, object]) -> None:
    with pytest.raises(CanonicalizationError):
        canonical_object(value)
