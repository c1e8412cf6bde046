"""Networks whose weights still move: forward in the network's own integers, while gradients go straight through."""
