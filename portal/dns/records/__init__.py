"""Records as pure data: what names them, what can be written back, what is wrong with one, how people see them."""
