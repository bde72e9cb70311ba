"""tltf.demo: a page on this machine on which a run answers whoever tries it."""
