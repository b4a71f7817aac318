"""The live stream: every stored event as named frames, from the store first and then live."""
