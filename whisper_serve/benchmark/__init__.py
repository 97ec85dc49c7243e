"""How fast this engine is beside other systems on the same recordings: each in a process of its own, taking turns."""
