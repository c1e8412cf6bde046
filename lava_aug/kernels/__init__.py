"""Fast forms of what `core` specifies, bit for bit: compiled, batched, 8-bit; and the choice among them."""
