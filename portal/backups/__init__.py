"""The backups room: reads what the backup left for it in one directory, and writes requests there."""
