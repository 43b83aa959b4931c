"""Whether something is known to be wrong with a package, whoever is asked.

A source answers for every distribution or raises: what was skipped is not "none".
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

import httpx2

from executor_mcp.bounded_fetch import FetchFailed, fetch
from executor_mcp.packages.errors import VulnerabilitiesUnknown
from executor_mcp.packages.locked import Distribution, Ecosystem, Vulnerability
from executor_mcp.packages.osv import Advisories, parse_object, read_snapshot, summaries
from server_kit.clock import Clock

Found = dict[str, tuple[Vulnerability, ...]]
_PAGE_BYTES = 4 * 1024 * 1024
_TIMEOUT_SECONDS = 20.0
_AT_A_TIME = 8


class VulnerabilitySource(Protocol):
    """Knows what was published about packages."""

    @property
    def name(self) -> str:
        """For records: which source, and as of when where it has a date of its own."""
        ...

    async def known(self, distributions: Sequence[Distribution]) -> Found:
        """By the distribution's text, for those that have any. Raises VulnerabilitiesUnknown."""
        ...


class NoVulnerabilitySource:
    """Knows nothing, so that nothing is allowed."""

    name = "none"

    async def known(self, distributions: Sequence[Distribution]) -> Found:
        del distributions
        raise VulnerabilitiesUnknown(
            "no source of vulnerabilities is set, and a package of which nothing is known is not allowed; "
            "set packages.vulnerabilities.source"
        )


class OsvSnapshot:
    """Records in the OSV format from a file: a zip archive, or JSON (one record, a list, or one a line).

    It counts as out of date `max_age_days` after the file was written.
    """

    def __init__(self, path: Path, *, max_age_days: float, clock: Clock) -> None:
        self._path = path
        self._max_age_days = max_age_days
        self._clock = clock
        self._read: tuple[float, Advisories] | None = None

    @property
    def name(self) -> str:
        return f"osv_snapshot {self._path.name}"

    async def known(self, distributions: Sequence[Distribution]) -> Found:
        advisories = await asyncio.to_thread(self._advisories)
        return await asyncio.to_thread(advisories.about, distributions)

    def _advisories(self) -> Advisories:
        try:
            written = self._path.stat().st_mtime
        except OSError as error:
            raise VulnerabilitiesUnknown(
                f"the snapshot {self._path} cannot be read: {error.strerror}"
            ) from error
        age_days = (self._clock.now().timestamp() - written) / 86400
        if age_days > self._max_age_days:
            raise VulnerabilitiesUnknown(
                f"the snapshot {self._path} is {age_days:.0f} days old; at most "
                f"{self._max_age_days:g} are allowed: fetch a new one"
            )
        if self._read is None or self._read[0] != written:
            self._read = (written, read_snapshot(self._path))
        return self._read[1]


class SourceByEcosystem:
    """Asks one source or another, by where a package is from."""

    def __init__(self, sources: Mapping[Ecosystem, VulnerabilitySource]) -> None:
        self._sources = dict(sources)

    @property
    def name(self) -> str:
        return ", ".join(dict.fromkeys(source.name for source in self._sources.values()))

    async def known(self, distributions: Sequence[Distribution]) -> Found:
        found: Found = {}
        for ecosystem in dict.fromkeys(one.ecosystem for one in distributions):
            if ecosystem not in self._sources:
                raise VulnerabilitiesUnknown(f"no source is set for packages of {ecosystem}")
            asked = [one for one in distributions if one.ecosystem == ecosystem]
            found |= await self._sources[ecosystem].known(asked)
        return found


class OsvApi:
    """A service with the OSV API: `POST {url}/v1/query`, one question a distribution."""

    def __init__(self, url: str, client: httpx2.AsyncClient) -> None:
        self._url = url.rstrip("/")
        self._client = client

    @property
    def name(self) -> str:
        return f"osv_api {self._url}"

    async def known(self, distributions: Sequence[Distribution]) -> Found:
        return await _ask_each(distributions, self._ask)

    async def _ask(self, distribution: Distribution) -> tuple[Vulnerability, ...]:
        package = {"name": distribution.name, "ecosystem": distribution.ecosystem}
        question = {"version": distribution.version, "package": package}
        answer = parse_object(await _answer(self._client, f"{self._url}/v1/query", question))
        if answer.get("next_page_token"):
            raise VulnerabilitiesUnknown(f"the answer about {distribution} has more pages than one")
        records = answer.get("vulns", [])
        if not isinstance(records, list):
            raise VulnerabilitiesUnknown(f"the answer about {distribution} is none of the OSV API")
        return summaries(cast("list[object]", records))


class IndexMetadata:
    """An index of Python packages with vulnerabilities: `GET {url}/pypi/{name}/{version}/json`."""

    def __init__(self, url: str, client: httpx2.AsyncClient) -> None:
        self._url = url.rstrip("/")
        self._client = client

    @property
    def name(self) -> str:
        return f"pypi {self._url}"

    async def known(self, distributions: Sequence[Distribution]) -> Found:
        return await _ask_each(distributions, self._ask)

    async def _ask(self, distribution: Distribution) -> tuple[Vulnerability, ...]:
        if distribution.ecosystem != "PyPI":
            raise VulnerabilitiesUnknown(
                f"the source pypi knows nothing of {distribution.ecosystem} packages such as {distribution}; "
                "set packages.vulnerabilities.source to osv_snapshot or osv_api"
            )
        address = f"{self._url}/pypi/{distribution.name}/{distribution.version}/json"
        records = parse_object(await _answer(self._client, address)).get("vulnerabilities")
        if not isinstance(records, list):
            raise VulnerabilitiesUnknown(f"{address} does not say which vulnerabilities are known")
        return summaries(cast("list[object]", records))


class _Ask(Protocol):
    async def __call__(self, distribution: Distribution, /) -> tuple[Vulnerability, ...]: ...


async def _ask_each(distributions: Sequence[Distribution], ask: _Ask) -> Found:
    places = asyncio.Semaphore(_AT_A_TIME)

    async def one(distribution: Distribution) -> tuple[Vulnerability, ...]:
        async with places:
            return await ask(distribution)

    answers = await asyncio.gather(*(one(distribution) for distribution in distributions))
    return {str(asked): answer for asked, answer in zip(distributions, answers, strict=True) if answer}


async def _answer(
    client: httpx2.AsyncClient, url: str, question: Mapping[str, object] | None = None
) -> bytes:
    try:
        return await fetch(
            client, url, question=question, limit=_PAGE_BYTES, timeout_seconds=_TIMEOUT_SECONDS
        )
    except FetchFailed as error:
        raise VulnerabilitiesUnknown(f"{url} cannot be asked: {error}") from error
