"""An emulator of a SAM-QFS mount with its sideband database; README.md says what is known and what is guessed."""
