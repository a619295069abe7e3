"""What is given back: ordered here or made at the processor, followed to its end."""
