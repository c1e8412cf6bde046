"""Networks that lava-dl exports: read, checked, and run with fast models."""
