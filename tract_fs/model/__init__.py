"""The pure model: values in, values out; nothing here reads a disk, a clock or a random source."""
