"""`homeport dns`: a client of the routes, never of the service."""
