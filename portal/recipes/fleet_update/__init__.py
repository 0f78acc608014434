"""Updates of many sites at once: ring after ring, a restore point before each, and back where it harmed."""
