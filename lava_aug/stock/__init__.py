"""Networks that lava-dl exports: reading, validating, and running them with fast models."""
