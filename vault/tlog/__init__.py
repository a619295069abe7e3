"""The audit log as a transparency log (C2SP): Merkle tiles, signed checkpoints, anchors, and who checks them."""
