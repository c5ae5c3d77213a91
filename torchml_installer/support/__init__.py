"""What any other part of the installer may use; nothing here uses another part."""
