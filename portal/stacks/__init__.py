"""The Compose stacks as files: `homeport stack` prepares and checks their settings before `up`."""
