"""Verifies exported audit logs with public keys alone; needs Python and nothing else.

    python -m server_kit.audit_verifier --export audit.jsonl --jwks audit-keys.json --segments DIRECTORY

It shares no code with the servers, so that a mistake of theirs is not repeated here. `single_file.write` puts
it into one file that runs anywhere: `python verify-audit.pyz --export …`. What it checks, in order:

1. A segment record is signed by a given key and continues the log; its file is there, whole (SHA-256), and
   holds exactly the entries that the record names. Every record is named by an entry of the log.
2. Every entry belongs to this log, has the next sequence number, names the hash of the entry before it, and
   has the hash of its own content: SHA-256 over its RFC 8785 form without `entry_hash`.
3. Every checkpoint is signed (Ed25519) by a given key, and the entry at its number has its hash. Those of a
   witness are compared too: a log that ends before the last one was rolled back.
4. Before every token minted there is an entry with which that request, for that action, became approved,
   and none since that revoked it.
5. With both logs: every execution used a token that was minted, for that request and action, and no token
   was used twice.

Entries are read one at a time. What stays in memory is a short record for each approved request and token.
"""
