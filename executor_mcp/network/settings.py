"""What an operator sets about the network of programs; which names may be reached is the policy's."""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
import ssl
from pathlib import Path
from typing import Annotated

from pydantic import Field

from server_kit.errors import ConfigurationError
from server_kit.settings import SettingsModel


class NetworkSettings(SettingsModel):
    """For programs whose approved action names domains, where the policy allows these."""

    ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = Field(
        default=(80, 443), min_length=1, max_length=32, description="ports that may be reached"
    )
    certificates: Path | None = Field(
        default=None, description="authorities that programs trust (PEM); those of this machine by default"
    )

    def read_certificates(self) -> str:
        """Raises ConfigurationError for a file that was named and cannot be read."""
        usual = ssl.get_default_verify_paths()
        path = self.certificates or Path(usual.cafile or usual.openssl_cafile)
        try:
            return path.expanduser().read_text(encoding="ascii", errors="replace")
        except OSError as error:
            if self.certificates is None:
                return ""
            raise ConfigurationError(
                f"network.certificates: {path} cannot be read: {error.strerror}"
            ) from error
