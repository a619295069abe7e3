"""A charge from its order to its end, and what the processor says of it meanwhile."""
