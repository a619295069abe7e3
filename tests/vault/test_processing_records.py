from dataclasses import replace

from house import House

from vault.requests.processing_records import gather


def test_the_whole_deployment_is_counted(own_house: House) -> None:
    """Tenants, customers and who was erased over all tenants; an account that was closed is a former one."""
    one, other = own_house.tenant(), own_house.tenant()
    erased = one.token()["customer"]
    assert one.call("POST", "/v1/customers", {"reference": "R-1"}).status_code == 201
    for _ in range(2):
        other.token()
    assert one.call("DELETE", f"/v1/customers/{erased}", role="privacy").status_code in {200, 202}
    own_house.work()
    assert one.call("DELETE", f"/v1/processor-accounts/{one.account}", role="admin").status_code == 204
    parts = own_house.components
    policy = replace(parts.policy, transfers={"sandbox": "Atlantis"})
    found = gather(parts.records, policy, parts.clock(), takes_card_numbers=True)
    assert found["numbers"] == {"tenants": 2, "customers": 3, "erased": 1}
    assert found["recipients"] == [
        {
            "name": policy.recipients["sandbox"],
            "processor": "sandbox",
            "mode": "test",
            "accounts": 1,
            "former_accounts": 1,
            "third_country": "Atlantis",
        }
    ]
