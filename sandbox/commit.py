"""What follows every change: indexes, the lines of the state file, webhooks on their way."""

from sandbox import delivery, state, statefile
from sandbox.state import Sandbox


def commit(sandbox: Sandbox) -> None:
    """Settle what the request that just ran has touched, in every account it touched."""
    for account in sandbox.accounts.values():
        for kind, name in account.touched:
            state.reindex(account, kind, account.tables.get(kind, {}).get(name, {}))
            if sandbox.keeps_state:
                statefile.note(account, kind, name)
        account.touched.clear()
        delivery.send_outbox(account, sandbox.queues)
