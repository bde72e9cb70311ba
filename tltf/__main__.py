"""The program `tltf` by the name of the package: `python -m tltf train --flagfile=...`."""

from tltf.console import program

if __name__ == "__main__":
    program.main()
