"""What any other part of the installer may use; it uses none of them."""
