"""What every deployable needs and none owns. Knows no deployable; its modules do not import each other."""
