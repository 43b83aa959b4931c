"""Settings of the channels, nested by the server's settings as `console`, `slack` and `telegram`."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr, field_validator

DelaySeconds = Annotated[
    float,
    Field(
        ge=0,
        le=86_400,
        description="seconds that people have on other channels before a new request is shown on this one",
    ),
]


class SharingSettings(BaseModel):
    """When requests share a card. Neither delays the first of them; critical ones never share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    same_seconds: float = Field(
        default=60.0,
        ge=0,
        le=3600,
        description="how long after a card was sent others that ask for the same join it; 0 turns it off",
    )
    burst_seconds: float = Field(
        default=2.0,
        ge=0,
        le=60,
        description="how long after a card was sent an agent's similar requests join it; 0 turns it off",
    )


class ConsoleSettings(BaseModel):
    """Cards on the standard error of `hitl serve`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = True
    delay_seconds: DelaySeconds = 0.0


class SlackSettings(BaseModel):
    """A Slack app with Socket Mode.

    Scopes: `chat:write`; with `channels:history` or `groups:history` a restart finds a card whose sending was
    interrupted, and does not post it twice.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bot_token: SecretStr = Field(description="xoxb-…, acts as the bot")
    app_token: SecretStr = Field(description="xapp-… with connections:write, opens Socket Mode")
    channel: str = Field(min_length=1, description="conversation id (C…, G… or D…) where cards go")
    signing_secret: SecretStr | None = Field(
        default=None, description="verifies HTTP callbacks, where they are used"
    )
    api_url: HttpUrl = HttpUrl("https://slack.com/api/")
    delay_seconds: DelaySeconds = 0.0

    @field_validator("bot_token")
    @classmethod
    def _bot_token_shape(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith("xoxb-"):
            raise ValueError("must be a bot token, which starts with xoxb-")
        return value

    @field_validator("app_token")
    @classmethod
    def _app_token_shape(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith("xapp-"):
            raise ValueError("must be an app-level token, which starts with xapp-")
        return value


class TelegramSettings(BaseModel):
    """A Telegram bot. A bot has one receiver of updates: give each server a bot of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bot_token: SecretStr = Field(description="<number>:<secret>, from @BotFather")
    chat_id: int | str = Field(description="chat where cards go: a number, or @name of a public group")
    api_url: HttpUrl = HttpUrl("https://api.telegram.org/")
    delay_seconds: DelaySeconds = 0.0

    @field_validator("bot_token")
    @classmethod
    def _bot_token_shape(cls, value: SecretStr) -> SecretStr:
        number, colon, secret = value.get_secret_value().partition(":")
        if not (
            number.isdigit() and colon and secret and secret.replace("-", "a").replace("_", "a").isalnum()
        ):
            raise ValueError("must look like 123456789:AA…, as @BotFather gives it")
        return value

    @field_validator("chat_id", mode="after")
    @classmethod
    def _numeric_chat_id(cls, value: int | str) -> int | str:
        if isinstance(value, str):
            digits = value.removeprefix("-")
            if digits.isdigit():
                return int(value)
            if not value.startswith("@"):
                raise ValueError("must be a number (groups are negative) or @name")
        return value
