import subprocess
import sys

from house import ROOT

LOOK = """
import sys, panless.wsgi
extras = {'alembic', 'sqlalchemy.orm', 'boto3', 'hvac', 'pkcs11', 'shamir_mnemonic', 'jwt', 'redis'}
print(*sorted(extras & set(sys.modules)))
"""


def test_a_server_loads_what_it_serves_with() -> None:
    """Neither what only a migration needs, nor an ORM, nor the SDK of what others sell: megabytes in each process."""
    done = subprocess.run([sys.executable, "-c", LOOK], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
