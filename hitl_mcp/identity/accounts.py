"""Accounts on channels: which account is whose. However many accounts, one person."""

from __future__ import annotations

from hitl_mcp.errors import AlreadyExists
from hitl_mcp.identity.lookup import active_person, require_person
from hitl_mcp.identity.register import Changing, IdentityRegister, Reading
from hitl_mcp.storage.schema import channel_identities


class ChannelAccounts:
    """Links accounts to people and finds whose an account is."""

    def __init__(self, register: IdentityRegister) -> None:
        self._register = register

    async def link(self, channel: str, external_id: str, person: str, *, actor: str = "operator") -> None:
        """State that an account on a channel is this person's. An account is one person's only.

        Raises:
            UnknownPerson: nobody has this name.
            AlreadyExists: the account is another person's.
        """

        async def store(changing: Changing) -> None:
            owner = await require_person(changing, person)
            known = await changing.one(channel_identities, channel=channel, external_id=external_id)
            if known is not None and known.person_id != owner.person_id:
                raise AlreadyExists(
                    f"{channel} account {external_id} is linked to {known.person_id}. Unlink it there first."
                )
            await changing.put(
                channel_identities,
                {
                    "channel": channel,
                    "external_id": external_id,
                    "person_id": owner.person_id,
                    "created_at": changing.now,
                },
            )
            await changing.audit(
                "person.linked",
                actor=actor,
                subject=owner.person_id,
                details={"channel": channel, "external_id": external_id},
            )

        await self._register.write(store)

    async def unlink(self, channel: str, external_id: str, *, actor: str = "operator") -> None:
        """Forget whose an account is. Does nothing when nobody's it was."""

        async def store(changing: Changing) -> None:
            known = await changing.one(channel_identities, channel=channel, external_id=external_id)
            if known is None:
                return
            await changing.remove(channel_identities, known)
            await changing.audit(
                "person.unlinked",
                actor=actor,
                subject=known.person_id,
                details={"channel": channel, "external_id": external_id},
            )

        await self._register.write(store)

    async def resolve(self, channel: str, external_id: str) -> str | None:
        """The id of the active person whose account this is; None for every other account."""

        async def find(reading: Reading) -> str | None:
            row = await reading.one(channel_identities, channel=channel, external_id=external_id)
            person = None if row is None else await active_person(reading, row.person_id)
            return None if person is None else person.person_id

        return await self._register.read(find)
