"""The tunnel's public hostnames: routes and records made and removed together, protected paths, orphans."""
