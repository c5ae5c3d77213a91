"""``python -m torchml_installer`` is ``torchml-install``."""

from torchml_installer.cli import main

if __name__ == "__main__":
    main()
