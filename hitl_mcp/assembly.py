"""What the parts of an approval server stand on: its database, keys, audit log and people."""

from __future__ import annotations

from dataclasses import dataclass

from hitl_mcp.audit.trail import CHAIN, SqlAuditTrail
from hitl_mcp.identity.agents import AgentDirectory
from hitl_mcp.identity.hierarchy import RoleHierarchy
from hitl_mcp.identity.passwords import Passwords
from hitl_mcp.identity.people import PeopleDirectory
from hitl_mcp.identity.register import IdentityRegister
from hitl_mcp.identity.register_anchor import RegisterAnchor
from hitl_mcp.identity.sign_in import SignInThrottle
from hitl_mcp.minting.keys import KeyRing
from hitl_mcp.minting.seals import RecordSealer
from hitl_mcp.settings import Settings
from hitl_mcp.storage.schema import audit as audit_tables
from server_kit.audit_courier import WitnessCourier
from server_kit.audit_log import AuditLog
from server_kit.clock import Clock
from server_kit.database.base import Database


@dataclass(frozen=True)
class Core:
    """What everything else of a server stands on."""

    database: Database
    keys: KeyRing
    clock: Clock
    audit: AuditLog
    trail: SqlAuditTrail
    sealer: RecordSealer
    register: IdentityRegister
    hierarchy: RoleHierarchy
    people: PeopleDirectory
    agents: AgentDirectory

    @classmethod
    def of(
        cls,
        settings: Settings,
        database: Database,
        keys: KeyRing,
        clock: Clock,
        courier: WitnessCourier | None,
    ) -> Core:
        audit = AuditLog(
            database=database,
            tables=audit_tables,
            chain=CHAIN,
            private_key=keys.audit_key.private,
            key_id=keys.audit_key.key_id,
            witness=settings.witness_file,
            courier=courier,
            segments=settings.segments_directory,
            checkpoint_every=settings.audit.checkpoint_every,
            clock=clock,
        )
        trail, sealer = SqlAuditTrail(audit, audit_tables), RecordSealer(keys.seal_key)
        register = IdentityRegister(
            database=database,
            sealer=sealer,
            audit=trail,
            clock=clock,
            anchor=RegisterAnchor(settings.identity_register_file),
        )
        hierarchy = RoleHierarchy(settings.roles)
        people = PeopleDirectory(
            register,
            passwords=Passwords(),
            throttle=SignInThrottle(database=database, audit=trail, clock=clock),
            hierarchy=hierarchy,
        )
        return cls(
            database, keys, clock, audit, trail, sealer, register, hierarchy, people, AgentDirectory(register)
        )
