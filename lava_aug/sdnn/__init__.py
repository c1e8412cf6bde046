"""Networks as stock Sigma-Delta networks of lava-dl."""
