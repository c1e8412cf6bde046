"""Running a `Network` without Lava: batches of images, single samples, and the closed form of many steps."""
