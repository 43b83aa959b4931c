"""Builds the channels that are configured, and the dispatcher over them. Called by the composition root."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Protocol, TextIO

from hitl_mcp.approvals.ports import AuditTrail
from hitl_mcp.approvals.tracing import RequestTracing, Untraced
from hitl_mcp.notifiers.base import Notifier
from hitl_mcp.notifiers.card_faces import CardFaces
from hitl_mcp.notifiers.card_making import CardMaker
from hitl_mcp.notifiers.card_store import CardStore
from hitl_mcp.notifiers.channel_worker import ChannelWorker
from hitl_mcp.notifiers.console import ConsoleNotifier
from hitl_mcp.notifiers.deadline_worker import Deadlines
from hitl_mcp.notifiers.delivery import CardKeeper
from hitl_mcp.notifiers.dispatcher import Dispatcher
from hitl_mcp.notifiers.inbox import Accounts, ApprovalInbox, Service
from hitl_mcp.notifiers.lease import Lease
from hitl_mcp.notifiers.nonces import CardNonces, Sealer
from hitl_mcp.notifiers.outbox import RetryPolicy, SqlOutbox
from hitl_mcp.notifiers.placing import CardPlaces, SharingWindows
from hitl_mcp.notifiers.settings import ConsoleSettings, SharingSettings, SlackSettings, TelegramSettings
from hitl_mcp.notifiers.shared_cards import SharedCards
from hitl_mcp.notifiers.telegram.notifier import TelegramNotifier
from server_kit.clock import Clock
from server_kit.database.base import Database


class DispatchedService(Service, Deadlines, Protocol):
    """What the dispatcher needs of `approvals.service.ApprovalService`."""


def build_notifiers(
    *,
    console: ConsoleSettings | None = None,
    slack: SlackSettings | None = None,
    telegram: TelegramSettings | None = None,
    stream: TextIO | None = None,
) -> tuple[Notifier, ...]:
    """One notifier per configured channel. `stream` is the console's; standard error when left out."""
    notifiers: list[Notifier] = []
    if console is not None and console.enabled:
        notifiers.append(ConsoleNotifier(stream or sys.stderr))
    if slack is not None:
        # slack-sdk and aiohttp take 300 ms to import, which a start without Slack should not pay.
        from hitl_mcp.notifiers.slack.notifier import SlackNotifier

        notifiers.append(SlackNotifier(slack))
    if telegram is not None:
        notifiers.append(TelegramNotifier(telegram))
    return tuple(notifiers)


def channel_delays(
    *,
    console: ConsoleSettings | None = None,
    slack: SlackSettings | None = None,
    telegram: TelegramSettings | None = None,
) -> Mapping[str, timedelta]:
    """How long each configured channel leaves a new request to the others."""
    configured = {"console": console, "slack": slack, "telegram": telegram}
    return {
        channel: timedelta(seconds=settings.delay_seconds)
        for channel, settings in configured.items()
        if settings is not None
    }


def sharing_windows(settings: SharingSettings) -> SharingWindows:
    """How long after a card others may join it."""
    return SharingWindows(
        same=timedelta(seconds=settings.same_seconds), kin=timedelta(seconds=settings.burst_seconds)
    )


def build_dispatcher(
    *,
    database: Database,
    clock: Clock,
    service: DispatchedService,
    accounts: Accounts,
    audit: AuditTrail,
    outbox: SqlOutbox,
    notifiers: Sequence[Notifier],
    sealer: Sealer,
    review_url: Callable[[str], str],
    lease: Lease | None = None,
    retries: RetryPolicy | None = None,
    sharing: SharingWindows | None = None,
    tracing: RequestTracing | None = None,
) -> Dispatcher:
    """The dispatcher of this process. `sealer` holds a key that is not in the database (see `nonces`)."""
    cards, faces, nonces = CardStore(database), CardFaces(database), CardNonces(sealer)
    windows = sharing or SharingWindows()

    def worker(notifier: Notifier) -> ChannelWorker:
        maker = CardMaker(notifier=notifier, nonces=nonces, review_url=review_url, clock=clock)
        keeper = CardKeeper(
            notifier=notifier,
            requests=service,
            store=cards,
            maker=maker,
            places=CardPlaces(
                notifier=notifier, requests=service, store=cards, maker=maker, windows=windows, clock=clock
            ),
            shared=SharedCards(
                notifier=notifier,
                requests=service,
                store=cards,
                faces=faces,
                maker=maker,
                windows=windows,
                clock=clock,
            ),
            clock=clock,
        )
        return ChannelWorker(
            channel=notifier.channel,
            keeper=keeper,
            outbox=outbox,
            changes=database.changes,
            clock=clock,
            retries=retries or RetryPolicy(),
            tracing=tracing or Untraced(),
        )

    return Dispatcher(
        lease=lease or Lease(database=database, clock=clock),
        clock=clock,
        deadlines=service,
        changes=database.changes,
        notifiers=notifiers,
        workers=[worker(notifier) for notifier in notifiers],
        inbox=ApprovalInbox(
            service=service,
            accounts=accounts,
            cards=cards,
            faces=faces,
            nonces=nonces,
            database=database,
            audit=audit,
            clock=clock,
        ),
        outbox=outbox,
    )
