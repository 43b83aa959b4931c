"""Output files as the resource `execution://{id}/files/{path}`, each with a media type of its own.

The SDK's templates have one media type for all that they match, so the server answers for this one itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.server.mcpserver.resources.templates import ResourceSecurity
from mcp.shared.uri_template import UriTemplate
from mcp_types import InputRequiredResult, ResourceTemplate
from pydantic import AnyUrl

from executor_mcp.errors import ExecutionNotFound, OutputFileNotFound
from executor_mcp.service import ExecutionService
from server_kit.errors import ServerError

_TEMPLATE: Final = "execution://{execution_id}/files/{+path}"
_PARSED: Final = UriTemplate.parse(_TEMPLATE)
_SECURITY: Final = ResourceSecurity()


class ServerWithFiles(MCPServer[None]):
    """Knowing the unguessable execution id is the right to read. `files` None: none are served."""

    def __init__(self, files: ExecutionService | None, **options: Any) -> None:
        super().__init__(**options)
        self._files = files

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        # Without a media type, which a template has when all that it matches share it.
        own = ResourceTemplate(
            uri_template=_TEMPLATE,
            name="output-file",
            title="Output file",
            description="A file that a program left in its work directory",
        )
        return [*(await super().list_resource_templates()), *([] if self._files is None else [own])]

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[None, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        found = _PARSED.match(str(uri))
        if found is None or self._files is None:
            return await super().read_resource(uri, context)
        if _SECURITY.validate(found) is not None:
            raise ResourceNotFoundError(f"Unknown resource: {uri}")
        return [await _read(self._files, str(found["execution_id"]), str(found["path"]))]


async def _read(files: ExecutionService, execution_id: str, path: str) -> ReadResourceContents:
    try:
        found = await files.output_file(execution_id, path)
    except (ExecutionNotFound, OutputFileNotFound) as error:
        raise ResourceNotFoundError(str(error)) from None
    except ServerError as error:
        raise ResourceError(f"this executor cannot answer now: {error}") from error
    try:
        return ReadResourceContents(found.content.decode(), found.file.media_type)
    except UnicodeDecodeError:
        return ReadResourceContents(found.content, found.file.media_type)
