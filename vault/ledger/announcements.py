"""Keys of the ledger that this keystore does not have, because it was restored from before they were made.

The ledger itself says them (`keys`): who trusts a key trusts what it announces.
"""

from keys.keyring import Keyring
from vault.ledger import keys
from vault.ledger.entries import genuine, parsed
from vault.ledger.keys import ANNOUNCED, Numbered


def announced(keyring: Keyring, store: Numbered, key_id: str) -> bytes | None:
    """The public key of that id, if the ledger announces it by a key that is known, or by one so announced.

    Reads the ledger from its beginning: a restored keystore does not know where. Raises LedgerAway.
    """
    known: dict[str, bytes] = {}
    seq = 1
    while (raw := store.read(seq)) is not None:
        body = parsed(raw)
        if body["kind"] == ANNOUNCED:
            signer = keys.public_of(keyring, body["key_id"]) or known.get(body["key_id"])
            if signer is not None:
                public = bytes.fromhex(genuine(raw, signer)["terms"]["public_key"])
                known[keys.key_id(public)] = public
        seq += 1
    return known.get(key_id)
