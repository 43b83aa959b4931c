"""Patterns for one value of an action. Each says in words exactly what it admits, and admits nothing else.

A value never changes its type to fit: `1`, `"1"`, `true` and `1.5` are four different things.
"""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, field_validator, model_validator

from hitl_contract.canonical import canonical_json
from hitl_contract.display import safe_text
from hitl_contract.display_parts import quoted
from hitl_contract.errors import CanonicalizationError
from hitl_mcp.shapes.addresses import is_under, plain_address
from hitl_mcp.shapes.paths import is_within, plain_parts

MAX_CHOICES: Final = 50
MAX_TEXT: Final = 1000
_LARGEST: Final = 2**53 - 1

Number = Annotated[int | float, Field(ge=-_LARGEST, le=_LARGEST)]
Scalar = str | int | float | bool | None


class PatternModel(BaseModel):
    """Base of all patterns: frozen, strict, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class AnyOf(PatternModel):
    """One of these values, to the letter."""

    pattern: Literal["any_of"] = "any_of"
    values: Annotated[tuple[Scalar, ...], Field(strict=False, min_length=1, max_length=MAX_CHOICES)]

    def admits(self, value: JsonValue) -> bool:
        return any(same(value, each) for each in self.values)

    def words(self) -> str:
        return "one of " + ", ".join(value_words(each) for each in self.values)


class AtMost(PatternModel):
    """A number from `minimum` to `maximum`; a whole one where `whole`."""

    pattern: Literal["at_most"] = "at_most"
    maximum: Number
    minimum: Number = 0
    whole: bool = True

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError("minimum must not be above maximum")
        return self

    def admits(self, value: JsonValue) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.whole and value != int(value):
            return False
        return self.minimum <= value <= self.maximum

    def words(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} from {value_words(self.minimum)} to {value_words(self.maximum)}"


class Within(PatternModel):
    """A plain path of something inside a directory."""

    pattern: Literal["within"] = "within"
    directory: Annotated[str, Field(min_length=1, max_length=4096)]

    @field_validator("directory")
    @classmethod
    def _is_plain(cls, directory: str) -> str:
        if plain_parts(directory) is None:
            raise ValueError(
                "must be a plain path of a directory, without a final slash, '..', '.', wildcards "
                "or escapes, and not under /proc, /dev or /sys"
            )
        return directory

    def admits(self, value: JsonValue) -> bool:
        return isinstance(value, str) and is_within(value, self.directory)

    def words(self) -> str:
        return f"any path inside the directory {quoted(self.directory)} (links in it are not looked into)"


class SameHost(PatternModel):
    """An address below the folder `prefix`, with exactly the query given; None for no query."""

    pattern: Literal["same_host"] = "same_host"
    prefix: Annotated[str, Field(min_length=1, max_length=2048)]
    query: Annotated[str | None, Field(max_length=2048)] = None

    @field_validator("prefix")
    @classmethod
    def _is_a_folder(cls, prefix: str) -> str:
        address = plain_address(prefix)
        if address is None or address.query is not None or address.parts[-1] != "":
            raise ValueError(
                "must be a plain address that ends in a slash, such as https://api.example.com/v1/"
            )
        return prefix

    def admits(self, value: JsonValue) -> bool:
        return isinstance(value, str) and is_under(value, self.prefix, self.query)

    def words(self) -> str:
        query = "without a query" if self.query is None else f"with exactly the query {quoted(self.query)}"
        return f"any address that begins with {quoted(self.prefix)}, {query}"


class ShortText(PatternModel):
    """Any single line of visible text of at most so many characters."""

    pattern: Literal["text"] = "text"
    max_characters: Annotated[int, Field(ge=1, le=MAX_TEXT)]

    def admits(self, value: JsonValue) -> bool:
        return isinstance(value, str) and len(value) <= self.max_characters and safe_text(value) == value

    def words(self) -> str:
        return f"ANY single line of text of at most {self.max_characters} characters, whatever it says"


class AnyBoolean(PatternModel):
    """True or false."""

    pattern: Literal["boolean"] = "boolean"

    def admits(self, value: JsonValue) -> bool:
        return isinstance(value, bool)

    def words(self) -> str:
        return "true or false"


class SubsetOf(PatternModel):
    """A list of some of these texts, each once, or of none."""

    pattern: Literal["subset_of"] = "subset_of"
    values: Annotated[tuple[str, ...], Field(strict=False, min_length=1, max_length=64)]

    def admits(self, value: JsonValue) -> bool:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            return False
        return len({str(each) for each in value}) == len(value) and set(map(str, value)) <= set(self.values)

    def words(self) -> str:
        return "some or none of " + ", ".join(quoted(each) for each in self.values)


class NetworkWithin(PatternModel):
    """No network, or only some of these domains."""

    pattern: Literal["network_within"] = "network_within"
    domains: Annotated[tuple[str, ...], Field(strict=False, min_length=1, max_length=64)]

    def admits(self, value: JsonValue) -> bool:
        if not isinstance(value, dict) or set(value) != {"mode", "domains"}:
            return False
        if value["mode"] == "none":
            return value["domains"] == []
        return value["mode"] == "allowlist" and SubsetOf(values=self.domains).admits(value["domains"])

    def words(self) -> str:
        return "no network, or only " + ", ".join(quoted(each) for each in self.domains)


Pattern = AnyOf | AtMost | Within | SameHost | ShortText | AnyBoolean | SubsetOf | NetworkWithin
PatternField = Annotated[Pattern, Field(discriminator="pattern")]
PATTERNS: Final = TypeAdapter[dict[str, Pattern]](dict[str, PatternField])


def same(one: object, other: object) -> bool:
    """Whether two JSON values are the same, type and all."""
    try:
        return canonical_json(one) == canonical_json(other)
    except CanonicalizationError:
        return False


def value_words(value: object) -> str:
    """A JSON value as one line in which nothing deceives."""
    return quoted(value) if isinstance(value, str) else canonical_json(value).decode()
