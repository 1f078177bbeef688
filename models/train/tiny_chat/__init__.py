"""The text that silica/tiny-chat is trained and tested on."""
