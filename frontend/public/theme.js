/* Before the first paint, so that nothing flashes: the theme and density that src/lib/appearance.ts has stored. */
try {
  for (const name of ["theme", "density"]) {
    const value = localStorage.getItem(`homeport.${name}`);
    if (value) document.documentElement.dataset[name] = value;
  }
} catch {
  /* storage is blocked: the system's theme it is */
}
