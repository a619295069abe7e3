"""A processor that speaks Stripe's wire, for development and tests: loopback only, test cards only."""
