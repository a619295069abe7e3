import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import stub_stripe
from wire import Outside

from vault.personal import Card, Secret
from vault.processors.stripe.adapter import StripeProcessor

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


@pytest.fixture
def stub() -> Iterator[stub_stripe.Stub]:
    stub, server = stub_stripe.listen()
    yield stub
    server.close()


@pytest.fixture
def connected(stub: stub_stripe.Stub) -> StripeProcessor:
    """The adapter before a stub that does what its plan says; impatient, so that silence costs little."""
    return StripeProcessor(base_url=stub.url, connect_timeout=0.5, read_timeout=0.3)


def launch(*command: str, home: Path) -> Iterator[str]:
    """The address that a program of ours prints, as the last word of its first line, until the tests are over."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "TMPDIR": str(home), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, *command], cwd=home, env=environment, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout
        try:
            yield program.stdout.readline().split()[-1]
        finally:
            program.terminate()


@pytest.fixture(scope="session")
def sandbox_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from launch("-m", "sandbox", "--port", "0", home=tmp_path_factory.mktemp("sandbox"))


@pytest.fixture(scope="session")
def localstripe_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("localstripe")
    yield from launch(str(HERE / "localstripe_on_loopback.py"), home=home)


@pytest.fixture
def card() -> Callable[..., Card]:
    def make(number: str = "4242424242424242", cvc: str = "123") -> Card:
        return Card(number=number, exp_month=12, exp_year=2035, cvc=cvc)

    return make


@pytest.fixture
def credentials(request: pytest.FixtureRequest) -> Secret:
    """A key of the test's own: the sandbox keeps one account for each."""
    return Secret(f"sk_test_{abs(hash(request.node.nodeid)):x}")


@pytest.fixture
def outside(sandbox_url: str, credentials: Secret) -> Iterator[Outside]:
    outside = Outside(sandbox_url, credentials.value)
    yield outside
    outside.mend()


@pytest.fixture(scope="session")
def stripe(sandbox_url: str) -> StripeProcessor:
    """The adapter before the sandbox."""
    return StripeProcessor(base_url=sandbox_url)
