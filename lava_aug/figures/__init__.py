"""What `lava_aug.plot` draws."""
