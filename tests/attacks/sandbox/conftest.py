"""The image that containers are made from is there, as for the other tests of sandboxes."""

from __future__ import annotations

from tests.sandbox.conftest import docker_image  # noqa: F401
