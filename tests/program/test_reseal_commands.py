"""`panless keys reseal` and `panless keys check`, as operators use them."""
