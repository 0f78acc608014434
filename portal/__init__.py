"""The portal: rooms, one folder per thing that an operator manages (architecture.md). So far the edge."""
