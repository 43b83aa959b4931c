from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.tools.served import Served, Template, make_template


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return make_template(tmp_path_factory.mktemp("template") / "home")


@pytest_asyncio.fixture
async def server(tmp_path: Path, template: Template) -> AsyncIterator[Served]:
    async with template.served(tmp_path / "home") as running:
        yield running
