from house import PURPOSE, Tenant


def test_main_job(tenant: Tenant) -> None:
    """Tokenize, charge, read the contact, erase; then 410, and the processor has nothing left."""
    contact = {"name": "Ada Lovelace", "email": "ada@example.com"}
    token = tenant.token(customer={"reference": "c-1", "billing_contact": contact})
    charge = tenant.charge(token["id"])
    assert charge.status_code == 201
    assert charge.get_json()["status"] == "succeeded"
    path = f"/v1/customers/{token['customer']}"
    read = tenant.call("GET", f"{path}/billing-contact", **PURPOSE)
    assert read.get_json()["email"] == "ada@example.com"
    erased = tenant.call("DELETE", path)
    assert (erased.status_code, erased.get_json()["status"]) == (202, "executing")
    for gone in (path, f"{path}/billing-contact", f"/v1/tokens/{token['id']}"):
        assert tenant.call("GET", gone, **PURPOSE).status_code == 410
    tenant.house.work()
    again = tenant.call("DELETE", path)
    assert (again.status_code, again.get_json()["status"]) == (200, "completed_with_retention")
    assert again.get_json()["id"] == erased.get_json()["id"]
    assert len(tenant.charges_at_processor()) == 1
