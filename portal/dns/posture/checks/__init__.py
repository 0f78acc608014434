"""The checks of a mail domain, a file each: given a Subject, return a Result. Raise NoAnswer when nobody answers."""
