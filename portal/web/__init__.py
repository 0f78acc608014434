"""What stands between the browser and the rooms: the door (who is talked to, and how) and the built front end."""
