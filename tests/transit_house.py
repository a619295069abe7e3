"""A house whose root key is in a transit engine."""

from house import House, open_house
from http_front import Front
from transit_standin import MOUNT, TOKEN, Transit

from keys import keks, roots
from keys.rewrapping import rewrap


def moved(house: House, transit: Transit, *more: Front, **settings: str) -> House:
    """The house with its root key moved from the file to the transit engine, the file's wraps dropped.

    `more` are other addresses of the same engine. Without a token in `settings` it is the one that lives for ever.
    """
    places = ",".join(f"hashicorp-transit:{front.url}/{MOUNT}/root" for front in (transit.front, *more))
    kept = {name: value for name, value in house.environment.items() if name != "PANLESS_KEYFILE"}
    both = kept | {
        "PANLESS_ROOT_KEYS": f"{places},keyfile:{house.environment['PANLESS_KEYFILE']}",
        **(settings or {"PANLESS_TRANSIT_TOKEN": TOKEN}),
    }
    between = open_house(house.home, both, house.sandbox)
    ring = between.components.keyring
    new, old = ring.roots[0], ring.roots[-1]
    for tenant in keks.tenants(ring):
        keks.rotate(ring, tenant, [new])
    for kek in keks.to_empty(ring):
        rewrap(ring, kek.tenant_id, kek.kek_id)
    assert sum(roots.add(ring, new)) == len(keks.tenants(ring))
    assert roots.drop(ring, old.provider, old.key_id) == len(keks.tenants(ring))
    between.components.close()
    return open_house(house.home, both | {"PANLESS_ROOT_KEYS": places}, house.sandbox)
